import Clusterfile
import YAML

extension KubeadmConfiguration {
    /// The file for `kubeadm init phase etcd local` on a master that becomes a member of an etcd that there is. That phase alone
    /// would make a member of its own; etcd's arguments say which others there are, and replace kubeadm's own of the same name.
    ///
    /// - Parameters:
    ///   - token: one that is thrown away; the document must have some.
    ///   - members: all members by name and peer address, the new one among them.
    ///   - imageTag: the tag of etcd's image; nil for the one of the cluster's image.
    /// - Throws: `Failure` of kind `invalidInput` for a document of the user that cannot be laid over.
    func etcdFile(
        for node: KubeadmNode, token: BootstrapToken, members: [(name: String, address: String)],
        imageTag: String? = nil
    ) throws -> KubeadmFile {
        try file(try initDocuments(for: node, token: token, isAlone: false)) { kind, fields in
            guard kind == .clusterConfiguration else { return }
            let arguments = ["etcd", "local", "extraArgs"]
            fields[path: arguments + ["initial-cluster"]] = YAMLNode(
                members.map { "\($0.name)=\($0.address)" }.joined(separator: ","))
            fields[path: arguments + ["initial-cluster-state"]] = "existing"
            if let imageTag { fields[path: ["etcd", "local", "imageTag"]] = YAMLNode(imageTag) }
        }
    }
}
