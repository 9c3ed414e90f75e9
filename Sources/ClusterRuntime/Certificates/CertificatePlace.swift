import FoundationEssentials
import Report
import SystemPackage
import YAML

/// Where a master has a certificate: in a file of its own, or within a kubeconfig.
public struct CertificatePlace: Hashable, Sendable {
    /// What people know it by: the path below the folder of certificates without the suffix, or the name of the kubeconfig.
    public let name: String
    /// The file.
    public let path: FilePath
    private let isKubeconfig: Bool

    /// All those of a master. Not every one has all of them.
    public static let ofMaster =
        NodeCertificates.names.map {
            CertificatePlace(
                name: $0, path: CertificateFile.kubeadmFolder.appending(FilePath("\($0).crt").components),
                isKubeconfig: false)
        }
        // kubeadm has super-admin.conf from 1.29 on.
        + ["admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"].map {
            CertificatePlace(name: $0, path: FilePath("/etc/kubernetes").appending($0), isKubeconfig: true)
        } + [
            // kubelet asks for the next one itself; where it could not, its node is lost.
            CertificatePlace(
                name: "kubelet-client", path: "/var/lib/kubelet/pki/kubelet-client-current.pem", isKubeconfig: false)
        ]

    /// The certificate, PEM; nil for a kubeconfig that has none in it.
    ///
    /// - Parameter bytes: what is in the file.
    /// - Throws: `Failure` of kind `integrity`, without any of the text: it has keys in it.
    public func certificate(in bytes: Data) throws -> Data? {
        guard isKubeconfig else { return bytes }
        let document: YAMLNode
        do {
            document = try YAMLDocuments.parseOne(String(decoding: bytes, as: UTF8.self), file: name)
        } catch {
            throw Failure(.integrity, "this is no kubeconfig", at: name)
        }
        let texts = (document["users"]?.sequence ?? []).compactMap {
            $0["user"]?["client-certificate-data"]?.scalar?.text
        }
        guard let text = texts.first else { return nil }
        guard let certificate = Data(base64Encoded: text) else {
            throw Failure(.integrity, "its client-certificate-data is not base64", at: name)
        }
        return certificate
    }
}
