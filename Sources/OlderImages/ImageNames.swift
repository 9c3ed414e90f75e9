import OCI

/// Finds the names by which the images of a carried registry were known. The tree itself has lost the registries: sealer kept
/// `docker.io/library/nginx` as `library/nginx`, and served all registries from there.
struct ImageNames {
    /// A repository of the tree with one of its tags.
    struct Place: Hashable {
        var repository: String
        var tag: String
    }

    /// Where the older releases served images that belong to no other registry.
    private static let ownRegistry = "sea.hub:5000"
    /// Where kubeadm's images were and are; they were kept without either.
    private static let kubeadmRegistries = ["k8s.gcr.io", "registry.k8s.io"]
    private static let kubeadmPaths: Set<String> = [
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "pause", "etcd", "coredns",
        "coredns/coredns",
    ]

    private var listed: [Place: [Reference]] = [:]

    /// - Parameter listed: the names that the image says it was built with.
    init(listed names: [Reference]) {
        for name in names {
            guard let tag = name.tag else { continue }
            for repository in Self.repositories(of: name) {
                listed[Place(repository: repository, tag: tag), default: []].append(name)
            }
        }
    }

    /// Where the tree may have an image.
    static func repositories(of name: Reference) -> [String] { [name.repository, name.path] }

    /// The names of what a tag stands for: those that the image lists; else what the path tells by itself. Empty for a path that is
    /// no name.
    func names(of place: Place) -> [Reference] {
        if let names = listed[place] { return names }
        let text = "\(place.repository):\(place.tag)"
        let first = place.repository.prefix { $0 != "/" }
        let texts: [String] =
            if first.contains(".") || first.contains(":") {
                [text]
            } else if first == "library" {
                ["docker.io/\(text)"]
            } else if Self.kubeadmPaths.contains(place.repository) {
                Self.kubeadmRegistries.map { "\($0)/\(text)" }
            } else {
                ["\(Self.ownRegistry)/\(text)"]
            }
        return texts.compactMap { try? Reference($0) }
    }
}
