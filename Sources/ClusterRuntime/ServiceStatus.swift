import FoundationEssentials
import Report

/// What the API server says of a service, as far as it matters here.
public struct ServiceStatus: Sendable, Hashable {
    /// `NAMESPACE/NAME`.
    public var name: String
    /// Whether pods of it are ready.
    public var hasReadyPods: Bool
    /// Whether it leads anywhere.
    public var hasAddresses: Bool

    /// Whether it should lead somewhere and does not yet: the controller manager has not come to it.
    public var isBehind: Bool { hasReadyPods && !hasAddresses }

    /// Reads the output of `kubectl get pods,services,endpoints --all-namespaces --output json`. Services without a selector are
    /// left out: their addresses are their makers' business.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    public static func list(fromJSON bytes: Data) throws -> [ServiceStatus] {
        let list: ObjectList
        do {
            list = try JSONDecoder().decode(ObjectList.self, from: bytes)
        } catch {
            throw Failure(.integrity, "kubectl's list of services cannot be read", causes: [error])
        }
        let addressed = Set(list.objects("Endpoints").filter { $0.hasAddresses }.map(\.name))
        let ready = list.objects("Pod").filter { $0.isReady && $0.metadata.deletionTimestamp == nil }
        return list.objects("Service").compactMap { service in
            guard let selector = service.spec?.selector, !selector.isEmpty, service.spec?.type != "ExternalName" else {
                return nil
            }
            return ServiceStatus(
                name: service.name,
                hasReadyPods: ready.contains { pod in
                    pod.metadata.namespace == service.metadata.namespace
                        && selector.allSatisfy { pod.metadata.labels?[$0.key] == $0.value }
                },
                hasAddresses: addressed.contains(service.name))
        }
    }

    private struct ObjectList: Decodable {
        var items: [Object]

        func objects(_ kind: String) -> [Object] { items.filter { $0.kind == kind } }
    }

    private struct Object: Decodable {
        struct Metadata: Decodable {
            var name: String
            var namespace: String?
            var labels: [String: String]?
            var deletionTimestamp: String?
        }
        struct Specification: Decodable {
            var type: String?
            var selector: [String: String]?
        }
        struct Status: Decodable {
            struct Condition: Decodable {
                var type: String
                var status: String
            }
            var conditions: [Condition]?
        }
        struct Subset: Decodable {
            struct Address: Decodable {}
            var addresses: [Address]?
        }
        var kind: String?
        var metadata: Metadata
        var spec: Specification?
        var status: Status?
        var subsets: [Subset]?

        var name: String { "\(metadata.namespace ?? "default")/\(metadata.name)" }
        var isReady: Bool { status?.conditions?.contains { $0.type == "Ready" && $0.status == "True" } ?? false }
        var hasAddresses: Bool { subsets?.contains { !($0.addresses ?? []).isEmpty } ?? false }
    }
}
