import Clusterfile
import Report
import YAML

/// The places of components' extra arguments in kubeadm's documents, and their two forms: a map up to v1beta3, a list of names
/// and values, in which a name may come several times, from v1beta4 on.
///
/// Within sealer they are maps always; the value of a name that comes several times is a list.
enum KubeadmArguments {
    /// Where a component's arguments stand.
    struct Place: Hashable {
        var kind: KubeadmDocument.Kind
        var path: [String]
        var component: Component
    }

    /// Whose arguments they are.
    enum Component: String, Hashable, CaseIterable {
        case apiServer = "kube-apiserver"
        case controllerManager = "kube-controller-manager"
        case scheduler = "kube-scheduler"
        case etcd
        case kubelet
    }

    static let places: [Place] = [
        Place(kind: .clusterConfiguration, path: ["apiServer", "extraArgs"], component: .apiServer),
        Place(kind: .clusterConfiguration, path: ["controllerManager", "extraArgs"], component: .controllerManager),
        Place(kind: .clusterConfiguration, path: ["scheduler", "extraArgs"], component: .scheduler),
        Place(kind: .clusterConfiguration, path: ["etcd", "local", "extraArgs"], component: .etcd),
        Place(kind: .initConfiguration, path: ["nodeRegistration", "kubeletExtraArgs"], component: .kubelet),
        Place(kind: .joinConfiguration, path: ["nodeRegistration", "kubeletExtraArgs"], component: .kubelet),
    ]

    /// Brings the arguments of a document, in whatever form, into maps of texts.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for what is neither of the forms.
    static func normalized(_ fields: YAMLMapping, of kind: KubeadmDocument.Kind) throws(Failure) -> YAMLMapping {
        var result = fields
        for place in places where place.kind == kind {
            guard let node = fields[path: place.path] else { continue }
            let name = "\(kind.rawValue).\(place.path.joined(separator: "."))"
            var map = YAMLMapping()
            if let items = node.sequence {
                for item in items {
                    guard let key = item["name"]?.scalar?.text, let value = text(item["value"]) else {
                        throw Failure(.invalidInput, "\(name) must list arguments with name and value")
                    }
                    if let former = map[key] {
                        map[key] = YAMLNode((former.sequence ?? [former]) + [value])
                    } else {
                        map[key] = value
                    }
                }
            } else if let mapping = node.mapping {
                for entry in mapping {
                    guard entry.value.isNull || text(entry.value) != nil else {
                        throw Failure(.invalidInput, "\(name).\(entry.key) must be a text")
                    }
                    // Null is kept: it takes an argument out.
                    map[entry.key] = entry.value.isNull ? .null : text(entry.value)
                }
            } else if node.isNull {
                continue
            } else {
                throw Failure(.invalidInput, "\(name) must be a map, or a list of names and values")
            }
            result[path: place.path] = YAMLNode(map)
        }
        return result
    }

    /// Brings the arguments of a document into the form of an API version.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for an argument that comes several times where only one can be told.
    static func formed(_ fields: YAMLMapping, of kind: KubeadmDocument.Kind, for api: KubeadmAPI) throws(Failure)
        -> YAMLMapping
    {
        var result = fields
        for place in places where place.kind == kind {
            guard let map = fields[path: place.path]?.mapping else { continue }
            if map.isEmpty {
                result[path: place.path] = nil
                continue
            }
            guard api >= .v1beta4 else {
                if let twice = map.entries.first(where: { $0.value.sequence != nil }) {
                    throw Failure(
                        .invalidInput,
                        "--\(twice.key) of \(place.component.rawValue) is there several times, which kubeadm takes from "
                            + "v1.31 on only")
                }
                continue
            }
            let list = map.entries.sorted { $0.key < $1.key }.flatMap { entry in
                (entry.value.sequence ?? [entry.value]).map { value -> YAMLNode in
                    ["name": YAMLNode(entry.key), "value": value]
                }
            }
            result[path: place.path] = YAMLNode(list)
        }
        return result
    }

    /// A scalar as a text: kubeadm takes no other type for an argument, whatever it looks like without quotes.
    private static func text(_ node: YAMLNode?) -> YAMLNode? {
        guard let scalar = node?.scalar else { return nil }
        return YAMLNode(scalar.value == .null ? "" : scalar.text)
    }
}
