import Remote
import SystemPackage

extension CertificateFile {
    /// Where kubeadm looks for certificates on a master.
    public static let kubeadmFolder: FilePath = "/etc/kubernetes/pki"

    /// Writes files below a folder of a host; those that are there with the same content are left alone.
    ///
    /// For a master, before `kubeadm init` or `kubeadm join` with a control plane: the authorities' files and its own
    /// certificates. Workers get none.
    ///
    /// - Throws: what the host throws.
    public static func place(
        _ files: [CertificateFile], on host: any Host, folder: FilePath = kubeadmFolder
    ) async throws {
        for file in files {
            let path = folder.appending(file.path)
            guard try await host.readFile(path, limit: 1 << 20) != file.bytes else { continue }
            try await host.writeFile(path, file.bytes, permissions: file.mode)
        }
    }
}
