import ClusterRuntime
import Clusterfile
import FoundationEssentials
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What the trust of a cluster hangs on, kept in the cluster's folder: kubeadm's authorities, and the certificates of the
/// registry. All masters have the same.
struct ClusterIdentity: Sendable {
    /// kubeadm's authorities.
    var authorities: ClusterAuthorities
    /// The registry's certificates.
    var registry: RegistryCertificates

    private static let authoritiesFolder = "pki/kubernetes"

    /// The identity that the folder has, or the user's own authorities, or a new one.
    ///
    /// - Parameter keep: whether a new one is written into the folder; a mere plan writes nothing.
    static func load(_ cluster: Cluster, _ folder: ClusterFolder, keep: Bool) async throws -> ClusterIdentity {
        ClusterIdentity(
            authorities: try await authorities(cluster, folder, keep: keep),
            registry: try await RegistryIdentity.load(cluster, folder, keep: keep))
    }

    private static func authorities(_ cluster: Cluster, _ folder: ClusterFolder, keep: Bool) async throws
        -> ClusterAuthorities
    {
        let years = cluster.certificates.authorityYears
        let kept = folder.path.appending(FilePath(authoritiesFolder).components)
        let isKept = try await BlockingPool.shared.run { try folder.readSecret("\(authoritiesFolder)/complete") != nil }
        if isKept { return try await ClusterAuthorities.read(folder: kept, years: years) }
        let made =
            if let own = cluster.certificates.folder {
                try await ClusterAuthorities.read(folder: FilePath(own), years: years)
            } else {
                try ClusterAuthorities(years: years)
            }
        guard keep else { return made }
        try await BlockingPool.shared.run {
            for file in made.files { try folder.writeSecret(file.bytes, "\(authoritiesFolder)/\(file.path)") }
            // Last: without it the others count for nothing.
            try folder.writeSecret(Data(), "\(authoritiesFolder)/complete")
        }
        return made
    }
}

/// The certificates of a cluster's registry.
private struct RegistryIdentity {
    private struct Names: Codable, Equatable {
        var names: [String]
        var addresses: [String]
    }

    private static let files = (
        authority: "pki/registry-ca.crt", authorityKey: "pki/registry-ca.key", server: "pki/registry.crt",
        serverKey: "pki/registry.key", names: "pki/registry.json"
    )

    /// The certificates that the folder has for these settings, or new ones.
    ///
    /// - Parameter keep: whether new ones are written into the folder; a mere plan writes nothing.
    static func load(_ cluster: Cluster, _ folder: ClusterFolder, keep: Bool) async throws -> RegistryCertificates {
        var names = Names(names: [cluster.registry.domain, "localhost"], addresses: ["127.0.0.1"])
        for name in cluster.registry.certificateNames {
            if IPAddress(name) != nil { names.addresses.append(name) } else { names.names.append(name) }
        }
        let wanted = names
        return try await BlockingPool.shared.run {
            func text(_ name: String) throws -> String? {
                try folder.readSecret(name).map { String(decoding: $0, as: UTF8.self) }
            }
            if let bytes = try folder.readSecret(files.names),
                try JSONDecoder().decode(Names.self, from: bytes) == wanted, let authority = try text(files.authority),
                let authorityKey = try text(files.authorityKey), let server = try text(files.server),
                let serverKey = try text(files.serverKey)
            {
                return RegistryCertificates(
                    authority: authority, authorityKey: authorityKey, server: server, serverKey: serverKey)
            }
            let made = try RegistryCertificates(
                cluster: cluster.name, names: wanted.names, addresses: wanted.addresses)
            guard keep else { return made }
            try folder.writeSecret(Data(made.authority.utf8), files.authority)
            try folder.writeSecret(Data(made.authorityKey.utf8), files.authorityKey)
            try folder.writeSecret(Data(made.server.utf8), files.server)
            try folder.writeSecret(Data(made.serverKey.utf8), files.serverKey)
            // Last: without it the others count for nothing.
            try folder.writeSecret(try canonicalJSON(wanted), files.names)
            return made
        }
    }
}
