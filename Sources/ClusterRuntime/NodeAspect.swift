import Crypto
import FoundationEssentials
import OCI
import Remote
import Report
import SystemPackage

/// A file of a node that sealer keeps as it wants it.
public struct ManagedFile: Sendable, Hashable {
    /// Where it is.
    public var path: FilePath
    /// What it holds.
    public var content: Data
    /// The permission bits.
    public var permissions: UInt32
    /// Whether the service must be started anew when the file has changed.
    public var needsRestart: Bool

    /// Makes a file.
    public init(_ path: FilePath, _ content: Data, permissions: UInt32 = 0o644, needsRestart: Bool = true) {
        self.path = path
        self.content = content
        self.permissions = permissions
        self.needsRestart = needsRestart
    }

    /// What an inspection says of it when it is as it should be.
    public var state: FileState? {
        OCI.Digest(algorithm: .sha256, bytes: SHA256.hash(data: content)).map {
            FileState(digest: $0, permissions: permissions)
        }
    }
}

/// The files and the service that a node has for one purpose, as they should be. What differs from it on the node is drift.
public struct NodeAspect: Sendable, Hashable {
    /// The purposes.
    public enum Name: String, Sendable, Hashable, Codable, CaseIterable {
        /// What brings the names back into /etc/hosts at boot, where the host's owner writes that file anew: in containers.
        case names = "kept-names"
        /// The container runtime's way to the cluster's registry.
        case registryAccess = "registry-access"
        /// The cluster's registry, on masters.
        case registry
        /// The way to all masters' API servers and registries, on workers.
        case balancer
        /// The node's part of the pod network.
        case podNetwork = "pod-network"
        /// The cluster's authorities, on masters.
        case authorities
        /// The rootfs' files that Config documents change.
        case configuration
    }

    /// The purpose.
    public var name: Name
    /// The files, in the order in which they are written.
    public var files: [ManagedFile]
    /// The service that must run and start at boot; it is started anew when a file has changed.
    public var service: String?
    /// The TCP port that the service must listen on.
    public var port: UInt16?
    /// Files that are written when the service runs.
    public var closingFiles: [ManagedFile]

    /// Makes an aspect.
    public init(
        _ name: Name, files: [ManagedFile], service: String? = nil, port: UInt16? = nil,
        closingFiles: [ManagedFile] = []
    ) {
        self.name = name
        self.files = files
        self.service = service
        self.port = port
        self.closingFiles = closingFiles
    }

    /// All files.
    public var allFiles: [ManagedFile] { files + closingFiles }

    /// What is not as it should be, for people; empty when nothing is.
    public func differences(files found: [String: FileState], services: [String: ServiceState]) -> [String] {
        var differences = allFiles.compactMap { Self.difference($0, found[$0.path.string]) }
        if let service {
            let state = services[service] ?? ServiceState(isActive: false, isEnabled: false)
            if !state.isActive { differences.append("\(service) does not run") }
            if !state.isEnabled { differences.append("\(service) does not start at boot") }
        }
        return differences
    }

    private static func difference(_ file: ManagedFile, _ found: FileState?) -> String? {
        guard let found else { return "\(file.path) is not there" }
        guard found.digest == file.state?.digest else { return "\(file.path) has another content" }
        guard found.permissions == file.permissions else {
            return "\(file.path) has the permissions \(String(found.permissions, radix: 8))"
        }
        return nil
    }

    /// Brings files and service into the state that they should have, and looks whether they have it.
    ///
    /// - Throws: `Failure` of kind `commandFailed` or `timeout` with the service's last log lines; of kind `integrity` when
    ///   something is still not as it should be.
    public func bring(to host: any Host) async throws {
        let found = try await host.inspect(allFiles.map(\.path))
        let changed = files.filter { Self.difference($0, found[$0.path.string]) != nil }
        for file in changed { try await host.writeFile(file.path, file.content, permissions: file.permissions) }
        if let service {
            let states = try await host.services([service])
            if changed.contains(where: \.needsRestart)
                || states[service] != ServiceState(isActive: true, isEnabled: true)
            {
                try await host.check(
                    .script(
                        """
                        systemctl daemon-reload
                        systemctl enable --quiet \(service)
                        systemctl restart \(service)
                        """),
                    purpose: "starting \(service)", limit: .seconds(60))
            }
            if let port { try await waitUntilListening(on: host, service, port) }
        }
        for file in closingFiles where Self.difference(file, found[file.path.string]) != nil {
            try await host.writeFile(file.path, file.content, permissions: file.permissions)
        }
        let now = try await host.inspect(allFiles.map(\.path))
        let states = try await host.services(service.map { [$0] } ?? [])
        let left = differences(files: now, services: states)
        guard left.isEmpty else {
            throw Failure(.integrity, "still not as it should be: \(left.joined(separator: "; "))", at: host.name)
        }
    }

    private func waitUntilListening(on host: any Host, _ service: String, _ port: UInt16) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            if try await host.facts().listeningPorts.contains(port) { return }
            guard ContinuousClock.now < end else { break }
            try await Task.sleep(for: .milliseconds(200))
        }
        let log = try await host.run(
            RemoteCommand(["journalctl", "--no-pager", "--lines=15", "--output=cat", "--unit=\(service)"]),
            limit: .seconds(20), output: { _ in })
        throw Failure(
            .timeout,
            "\(service) does not listen on port \(port) after 30 s; its log ends with:\n\(log.outputText)",
            at: host.name)
    }
}
