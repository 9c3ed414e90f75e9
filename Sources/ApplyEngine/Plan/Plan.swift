import Clusterfile
import FoundationEssentials
import ImageStore
import OCI
import Report

/// What has to be done so that a cluster becomes what its Clusterfile says: a graph of steps, and nothing but values, so that
/// it can be printed, kept in a file, compared, and executed later.
///
/// Steps that do not wait for each other run at the same time.
public struct Plan: Sendable, Hashable, Codable {
    /// The version of a plan's form in a file.
    public static let formatVersion = 1

    /// The version of the form.
    public let formatVersion: Int
    /// The cluster's name.
    public let cluster: String
    /// The digest of the ClusterImage that the plan is for.
    public let image: Digest
    /// The digest of what the Clusterfile says, scripts and all; nil where nobody knows it.
    public private(set) var clusterfile: Digest?
    /// The steps; each comes after those it waits for.
    public let steps: [PlanStep]

    /// Makes a plan.
    ///
    /// - Throws: `Failure` of kind `software` when a name is used twice or a step waits for one that does not come before.
    public init(cluster: String, image: Digest, _ steps: [PlanStep]) throws {
        formatVersion = Self.formatVersion
        self.cluster = cluster
        self.image = image
        self.steps = steps
        if let problem { throw Failure(.software, problem, at: cluster) }
    }

    /// The plan, with the Clusterfile that it was made for: its steps do not tell all that it says.
    public func made(for cluster: Cluster) -> Plan {
        var plan = self
        plan.clusterfile = ContentHasher.digest(of: Data(cluster.text.utf8))
        return plan
    }

    /// What keeps the steps from being a graph without cycles; nil when nothing does.
    private var problem: String? {
        var known: Set<PlanStep.ID> = []
        for step in steps {
            if let unknown = step.after.first(where: { !known.contains($0) }) {
                return "step \(step.id) of the plan waits for \(unknown), which does not come before it"
            }
            guard known.insert(step.id).inserted else { return "the plan has two steps \(step.id)" }
        }
        return nil
    }

    /// Whether there is nothing to do.
    public var isEmpty: Bool { steps.isEmpty }

    /// Names the plan by what it says: two plans with the same steps for the same image have the same digest.
    public func digest() throws -> Digest { ContentHasher.digest(of: try canonicalJSON(self)) }

    // MARK: - In a file

    /// The plan as a file's content.
    public func file() throws -> Data { try canonicalJSON(self) + Data("\n".utf8) }

    /// Reads a plan's file.
    ///
    /// - Parameter name: the file's name, for messages.
    /// - Throws: `Failure` of kind `invalidInput`.
    public init(file bytes: Data, name: String) throws {
        do {
            self = try JSONDecoder().decode(Plan.self, from: bytes)
        } catch {
            throw Failure(
                .invalidInput, "the file is no plan of sealer's", at: name,
                remedy: "make one: sealer plan --file Clusterfile --output json > \(name)", causes: [error])
        }
        guard formatVersion == Self.formatVersion else {
            throw Failure(
                .invalidInput, "the plan has form \(formatVersion), this sealer knows form \(Self.formatVersion)",
                at: name, remedy: "make the plan again with this sealer")
        }
        if let problem { throw Failure(.invalidInput, problem, at: name) }
    }

    /// How a plan differs from another one that was made for the same purpose; empty when they are the same.
    public func differences(from other: Plan) -> [String] {
        var found: [String] = []
        if cluster != other.cluster { found.append("it is for the cluster \(cluster), not \(other.cluster)") }
        if image != other.image { found.append("the image is \(image.short) now, it was \(other.image.short)") }
        if let before = other.clusterfile, before != clusterfile { found.append("the Clusterfile says something else") }
        let (mine, others) = (stepsByName, other.stepsByName)
        for step in steps where others[step.id] == nil { found.append("to be done now too: \(step.summary)") }
        for step in other.steps where mine[step.id] == nil { found.append("not to be done any more: \(step.summary)") }
        for step in steps {
            guard let before = others[step.id], before != step else { continue }
            found.append("\(step.id) is another now: \(step.reason); it was: \(before.reason)")
        }
        if found.isEmpty, steps != other.steps { found.append("the steps come in another order") }
        return found
    }

    private var stepsByName: [PlanStep.ID: PlanStep] {
        Dictionary(steps.map { ($0.id, $0) }) { first, _ in first }
    }
}
