import ClusterRuntime
import Clusterfile
import FoundationEssentials
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// What the trust of a cluster hangs on, kept in the cluster's folder: kubeadm's authorities, and the certificates of the
/// registry. All masters have the same.
///
/// A machine that sees a running cluster for the first time takes them over from a master (`adopt`): others would cut the cluster's
/// members off from each other.
struct ClusterIdentity: Sendable {
    /// kubeadm's authorities.
    private(set) var authorities: ClusterAuthorities
    /// The registry's certificates.
    private(set) var registry: RegistryCertificates
    /// Whether the folder has the authorities; else they were made just now, or are the user's or a master's.
    private var hasAuthorities: Bool
    /// Whether the folder has the registry's certificates for these names.
    private var hasRegistry: Bool
    /// Why the authorities that the user names cannot be read; a running cluster's own need them not.
    private var lack: Failure?

    private static let authoritiesFolder = "pki/kubernetes"

    /// The identity that the folder has, or the user's own authorities, or a new one. Nothing is written. That the user's own are
    /// not there is told by `check`.
    ///
    /// - Throws: `Failure` of kind `conflict` when the user's authorities are not those that the folder has.
    static func load(_ cluster: Cluster, _ folder: ClusterFolder) async throws -> ClusterIdentity {
        let years = cluster.certificates.authorityYears
        let isKept = try await BlockingPool.shared.run { try folder.readSecret("\(authoritiesFolder)/complete") != nil }
        let own = cluster.certificates.folder.map { FilePath($0) }
        var lack: Failure?
        func authorities() async throws -> ClusterAuthorities {
            if isKept {
                return try await ClusterAuthorities.read(
                    folder: folder.path.appending(FilePath(authoritiesFolder).components), years: years)
            }
            guard let own else { return try ClusterAuthorities(years: years) }
            do {
                return try await ClusterAuthorities.read(folder: own, years: years)
            } catch let failure as Failure where failure.kind == .notFound {
                lack = failure
                return try ClusterAuthorities(years: years)
            }
        }
        let found = try await authorities()
        let (registry, hasRegistry) = try await RegistryIdentity(cluster).load(folder)
        let identity = ClusterIdentity(
            authorities: found, registry: registry, hasAuthorities: isKept, hasRegistry: hasRegistry, lack: lack)
        if isKept { try await identity.checkAuthorities(own, of: cluster.name) }
        return identity
    }

    /// Whether the folder has all of it.
    var isKept: Bool { hasAuthorities && hasRegistry }

    /// Looks whether a new cluster can be made with it.
    ///
    /// - Throws: `Failure` of kind `notFound` when the user names authorities that are not there.
    func check() throws(Failure) {
        if let lack { throw lack }
    }

    /// Takes over what a running cluster has of it and this machine's folder does not.
    ///
    /// - Parameter masters: members. All have the authorities; the registry's certificates may be on one of them alone.
    /// - Throws: `Failure` when the first one's authorities cannot be read, or are not those that the user brings.
    mutating func adopt(from masters: [any Host], of cluster: Cluster) async throws {
        if !hasAuthorities, let master = masters.first {
            authorities = try await ClusterAuthorities.read(from: master)
            lack = nil
            try await checkAuthorities(cluster.certificates.folder.map { FilePath($0) }, of: cluster.name)
        }
        guard !hasRegistry else { return }
        for master in masters {
            guard let present = try await RegistryService.certificates(on: master), try present.hasNames(of: registry)
            else { continue }
            registry = present
            return
        }
    }

    /// Writes into the folder what it has not. Without the mark that is written last, the others count for nothing.
    ///
    /// - Throws: what `check` throws.
    mutating func keep(_ cluster: Cluster, in folder: ClusterFolder) async throws {
        try check()
        let (authorities, registry) = (authorities, registry)
        if !hasAuthorities {
            try await Failpoint.around("authorities \(cluster.name)") {
                try await BlockingPool.shared.run {
                    for file in authorities.files {
                        try folder.writeSecret(file.bytes, "\(Self.authoritiesFolder)/\(file.path)")
                    }
                }
            }
            try await BlockingPool.shared.run {
                try folder.writeSecret(Data(), "\(Self.authoritiesFolder)/complete")
            }
            hasAuthorities = true
        }
        if !hasRegistry {
            try await Failpoint.around("registry identity \(cluster.name)") {
                try await RegistryIdentity(cluster).keep(registry, in: folder)
            }
            hasRegistry = true
        }
    }

    /// A cluster keeps the authorities that it has: those of another folder would not fit what its members were given.
    private func checkAuthorities(_ own: FilePath?, of cluster: String) async throws {
        guard let own else { return }
        let present = Dictionary(authorities.files.map { ($0.path, $0.bytes) }) { first, _ in first }
        let others = try await BlockingPool.shared.run {
            try ClusterAuthorities.paths.filter { path in
                do {
                    return try Data(readFile(own.appending(path), limit: 1 << 20)) != present[path]
                } catch let failure as Failure where failure.kind == .notFound {
                    // It may be gone: the folder is read once.
                    return false
                }
            }
        }
        guard others.isEmpty else {
            throw Failure(
                .conflict,
                "the folder of the cluster's certificates has another \(others.joined(separator: ", ")) than the cluster",
                at: own.string,
                remedy: "name the folder that \(cluster) was made with; its authorities cannot be changed yet")
        }
    }
}

/// The certificates of a cluster's registry, and the names that they are for.
private struct RegistryIdentity {
    private struct Names: Codable, Equatable {
        var names: [String]
        var addresses: [String]
    }

    private static let files = (
        authority: "pki/registry-ca.crt", authorityKey: "pki/registry-ca.key", server: "pki/registry.crt",
        serverKey: "pki/registry.key", names: "pki/registry.json"
    )

    private let cluster: String
    private let settings: CertificateSettings
    private let names: Names

    init(_ cluster: Cluster) {
        self.cluster = cluster.name
        settings = cluster.certificates
        var names = Names(names: [cluster.registry.domain, "localhost"], addresses: ["127.0.0.1"])
        for name in cluster.registry.certificateNames {
            if IPAddress(name) != nil { names.addresses.append(name) } else { names.names.append(name) }
        }
        self.names = names
    }

    /// The certificates that the folder has for these names, or new ones; and whether it has them.
    func load(_ folder: ClusterFolder) async throws -> (RegistryCertificates, isKept: Bool) {
        try await BlockingPool.shared.run {
            func text(_ name: String) throws -> String? {
                try folder.readSecret(name).map { String(decoding: $0, as: UTF8.self) }
            }
            if let known = try folder.readSecret(Self.files.names),
                try JSONDecoder().decode(Names.self, from: known) == names,
                let authority = try text(Self.files.authority), let server = try text(Self.files.server),
                let serverKey = try text(Self.files.serverKey)
            {
                return (
                    RegistryCertificates(
                        authority: authority, authorityKey: try text(Self.files.authorityKey), server: server,
                        serverKey: serverKey), true
                )
            }
            let made = try RegistryCertificates(
                cluster: cluster, names: names.names, addresses: names.addresses, settings: settings)
            return (made, false)
        }
    }

    func keep(_ certificates: RegistryCertificates, in folder: ClusterFolder) async throws {
        try await BlockingPool.shared.run {
            try folder.writeSecret(Data(certificates.authority.utf8), Self.files.authority)
            if let key = certificates.authorityKey {
                try folder.writeSecret(Data(key.utf8), Self.files.authorityKey)
            }
            try folder.writeSecret(Data(certificates.server.utf8), Self.files.server)
            try folder.writeSecret(Data(certificates.serverKey.utf8), Self.files.serverKey)
            // Last: without it the others count for nothing.
            try folder.writeSecret(try canonicalJSON(names), Self.files.names)
        }
    }
}
