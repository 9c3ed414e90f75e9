import Clusterfile
import Crypto
import FoundationEssentials
import OCI
import Report
import YAML

/// What a cluster's configuration should be, as far as it is the whole cluster's: every field of kubeadm's, kubelet's and
/// kube-proxy's documents by its path. What belongs to one node is not there, nor is what follows from the image alone.
///
/// The fields that a running cluster was given last are kept in its record; what differs from the wanted ones is to be done.
public struct ConfigurationFields: Hashable, Sendable {
    /// The key of the cluster's record that holds the fields.
    public static let recordKey = "configuration"

    /// The values by path: canonical JSON by `KubeletConfiguration.maxPods`. A key with characters of its own is quoted:
    /// `KubeletConfiguration.evictionHard["memory.available"]`. `null` is a field of one node's that was taken out for all.
    public let values: [String: String]

    init(values: [String: String]) { self.values = values }

    /// The fields that a cluster should have.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a document of the user that cannot be laid over.
    public init(_ settings: ClusterSettings) throws { try self.init(KubeadmSettings(settings)) }

    /// The fields that a cluster should have.
    ///
    /// - Throws: what `KubeadmConfiguration` throws.
    public init(_ settings: KubeadmSettings) throws { try self.init(KubeadmConfiguration(settings)) }

    init(_ configuration: KubeadmConfiguration) throws {
        // Two nodes that have nothing in common: what differs between their documents is theirs and not the cluster's.
        let one = try Self.documents(configuration, name: "one", address: "192.0.2.1", differs: false)
        let other = try Self.documents(configuration, name: "other", address: "192.0.2.2", differs: true)
        var values = one.laid.filter { other.laid[$0.key] == $0.value }
        for path in Set(one.own.keys).union(other.own.keys)
        where one.laid[path] == nil && other.laid[path] == nil {
            values[path] = "null"
        }
        self.values = values
    }

    // MARK: - As text

    /// The fields as canonical JSON.
    public var text: String {
        get throws { String(decoding: try canonicalJSON(values), as: UTF8.self) }
    }

    /// Reads the fields out of a record.
    ///
    /// - Throws: `Failure` of kind `integrity` for what is no such text.
    public static func decode(from text: String) throws -> ConfigurationFields {
        do {
            return ConfigurationFields(values: try JSONDecoder().decode([String: String].self, from: Data(text.utf8)))
        } catch {
            throw Failure(
                .integrity, "what the cluster's record says of its configuration cannot be read", at: recordKey,
                remedy: "take the key \(recordKey) out of the ConfigMap kube-system/\(RunningCluster.recordName): "
                    + "the configuration is then taken to be as it should be",
                causes: [error])
        }
    }

    // MARK: - Comparing

    /// What must change in a cluster that has the old fields, by path.
    public func changes(from old: ConfigurationFields) -> [ConfigurationChange] {
        Set(values.keys).union(old.values.keys).sorted().compactMap { path in
            let (before, now) = (old.values[path], values[path])
            return before == now ? nil : ConfigurationChange(path: path, old: before, new: now)
        }
    }

    /// The digest of all fields of a part: what a node has taken over can be written down with it.
    ///
    /// - Returns: SHA-256 over the part's fields as canonical JSON.
    public func digest(of part: ConfigurationChange.Part) throws -> OCI.Digest {
        let fields = values.filter { ConfigurationChange(path: $0.key, old: nil, new: nil).part == part }
        guard
            let digest = OCI.Digest(
                algorithm: .sha256, bytes: SHA256.hash(data: try canonicalJSON(fields)))
        else { throw Failure(.software, "SHA-256 gave no digest") }
        return digest
    }

    // MARK: - Fields of documents

    /// The fields of all documents for a node.
    ///
    /// - Returns: `own` what sealer says by itself, `laid` with the image's and the user's documents laid over.
    private static func documents(
        _ configuration: KubeadmConfiguration, name: String, address: String, differs: Bool
    ) throws -> (own: [String: String], laid: [String: String]) {
        var node = KubeadmNode(
            name: name, addresses: [address],
            runtime: .init(socket: "/run/\(name).sock", cgroupDriver: differs ? "cgroupfs" : "systemd"))
        node.hasSwap = differs
        node.isContainer = differs
        let token = BootstrapToken()
        let documents =
            try configuration.initDocuments(for: node, token: token, isAlone: false) + [
                configuration.joinDocument(for: node, asMaster: false, token: token, authorityHash: "", isAlone: false)
            ]
        var (own, laid): ([String: String], [String: String]) = ([:], [:])
        // Versions leave things out of kubeadm's files, and a change of version is another matter.
        var notes: [String] = []
        for document in documents {
            let kind = type(of: document).kind
            let lower = fieldsOfCluster(document)
            let upper = try configuration.laidOver(lower, of: kind, notes: &notes)
            for (fields, isLaid) in [(lower, false), (upper, true)] {
                var found: [String: String] = [:]
                if let path = nodePath(kind) {
                    guard let node = fields[path: path] else { continue }
                    try flatten(node, [kind.rawValue] + path, &found)
                } else {
                    for entry in fields { try flatten(entry.value, [kind.rawValue, entry.key], &found) }
                }
                if isLaid {
                    laid.merge(found) { $1 }
                } else {
                    own.merge(found) { $1 }
                }
            }
        }
        return (own, laid)
    }

    /// What of a node's document may be the same for all nodes; nil for a cluster's document: all.
    private static func nodePath(_ kind: KubeadmDocument.Kind) -> [String]? {
        switch kind {
        // The rest counts when a node becomes a member, and never again.
        case .initConfiguration, .joinConfiguration: ["nodeRegistration", "kubeletExtraArgs"]
        case .clusterConfiguration, .kubeletConfiguration, .kubeProxyConfiguration: nil
        }
    }

    /// What sealer says by itself, without what follows from the image: that changes when the image does. Nor is the life of
    /// certificates there: it counts for those that are still to be made, and a running cluster may have another one.
    private static func fieldsOfCluster(_ document: any KubeadmDocuments.Document) -> YAMLMapping {
        guard var cluster = document as? KubeadmDocuments.ClusterConfiguration else { return document.fields }
        cluster.etcdTag = nil
        cluster.featureGates = []
        cluster.certificates = nil
        var fields = cluster.fields
        fields["kubernetesVersion"] = nil
        fields["imageRepository"] = nil
        return fields
    }

    /// Lists whose order says nothing.
    private static let sets = ["ClusterConfiguration.apiServer.certSANs"]

    private static func flatten(_ node: YAMLNode, _ path: [String], _ found: inout [String: String]) throws {
        if let mapping = node.mapping, !mapping.isEmpty {
            for entry in mapping { try flatten(entry.value, path + [entry.key], &found) }
            return
        }
        let name = Self.name(path)
        let isArguments = ["extraArgs", "kubeletExtraArgs"].contains(path.last)
        if isArguments, node.mapping?.isEmpty == true { return }
        var value = try ConfigurationValue(node)
        if sets.contains(name), case .list(let items) = value {
            value = .list(Set(items).sorted { $0.order < $1.order })
        }
        var text = String(decoding: try canonicalJSON(value), as: UTF8.self)
        // Variables of a component's environment may be secret, and this goes into records and onto screens.
        if path.last == "extraEnvs" {
            let hash = SHA256.hash(data: Data(text.utf8))
            text = "\"sha256:\(hash.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())\""
        }
        found[name] = text
    }

    private static func name(_ path: [String]) -> String {
        path.reduce("") { name, key in
            let isPlain = !key.isEmpty && key.utf8.allSatisfy { isWord($0) }
            if isPlain { return name.isEmpty ? key : "\(name).\(key)" }
            let quoted = key.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            return "\(name)[\"\(quoted)\"]"
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}

/// A value of a field, as JSON has it.
enum ConfigurationValue: Hashable, Encodable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case list([ConfigurationValue])
    case object([String: ConfigurationValue])

    init(_ node: YAMLNode) throws(Failure) {
        switch node.content {
        case .sequence(let items): self = .list(try items.map(Self.init(_:)))
        case .mapping(let mapping):
            var object: [String: ConfigurationValue] = [:]
            for entry in mapping { object[entry.key] = try Self(entry.value) }
            self = .object(object)
        case .scalar(let scalar):
            switch scalar.value {
            case .null: self = .null
            case .bool(let flag): self = .bool(flag)
            case .integer(let number): self = .integer(number)
            // JSON has no such numbers; kubeadm would refuse them, so it gets to see them.
            case .float(let number): self = number.isFinite ? .number(number) : .text(scalar.text)
            case .string(let text): self = .text(text)
            }
        }
    }

    /// What lists without an order are sorted by.
    var order: String {
        if case .text(let text) = self { text } else { "\(self)" }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let flag): try container.encode(flag)
        case .integer(let number): try container.encode(number)
        case .number(let number): try container.encode(number)
        case .text(let text): try container.encode(text)
        case .list(let items): try container.encode(items)
        case .object(let object): try container.encode(object)
        }
    }
}
