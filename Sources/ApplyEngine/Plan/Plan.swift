import Report

/// One step of a plan: what is done on which host, and after what.
public struct PlanStep: Sendable {
    /// Names a step within its plan: `join/demo-node-0`.
    public typealias ID = String

    /// The step's name.
    public let id: ID
    /// What it does, for people.
    public let title: String
    /// The host it runs on; nil for what concerns the whole cluster.
    public let host: String?
    /// The steps that must have ended well before.
    public let after: [ID]
    /// The most time that it may take.
    public let limit: Duration
    /// Does it and checks that it was done.
    public let action: @Sendable (Step) async throws -> Void

    /// Makes a step.
    public init(
        _ id: ID,
        _ title: String,
        host: String? = nil,
        after: [ID] = [],
        limit: Duration,
        action: @escaping @Sendable (Step) async throws -> Void
    ) {
        self.id = id
        self.title = title
        self.host = host
        self.after = after
        self.limit = limit
        self.action = action
    }
}

/// A graph of steps. Steps that do not wait for each other run at the same time.
public struct Plan: Sendable {
    /// The steps; each comes after those it waits for.
    public let steps: [PlanStep]

    /// Makes a plan.
    ///
    /// - Throws: `Failure` of kind `software` when a name is used twice or a step waits for one that does not come before.
    public init(_ steps: [PlanStep]) throws {
        var known: Set<PlanStep.ID> = []
        for step in steps {
            if let unknown = step.after.first(where: { !known.contains($0) }) {
                throw Failure(
                    .software, "step \(step.id) of the plan waits for \(unknown), which does not come before it")
            }
            guard known.insert(step.id).inserted else {
                throw Failure(.software, "the plan has two steps \(step.id)")
            }
        }
        self.steps = steps
    }
}
