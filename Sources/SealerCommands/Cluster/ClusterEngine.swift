import ApplyEngine
import ClusterRuntime
import Clusterfile
import DockerEngine
import FoundationEssentials
import ImageStore
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage
import Terminal

/// Wires the apply engine: where hosts come from, and this very program as their agent.
struct ClusterEngine {
    /// - Parameter hostKeys: what is done about keys of hosts that nobody knows.
    static func make(
        context: CommandContext, root: String?, progress: any ProgressSink, hostKeys: HostKeyOptions = HostKeyOptions()
    ) async throws -> Engine {
        let environment = context.environment
        let state = try context.root(root)
        let secrets = SecretSource(environment: environment) { what in
            await progress.pause()
            defer { progress.resume() }
            return try await SecretLine.ask(TerminalText.line(what), in: context)
        }
        let acceptsNewHostKeys = hostKeys.acceptNewHostKeys
        return Engine(
            store: try await context.store(root),
            state: state,
            infra: Infrastructure(
                containers: { ContainerProvider(try await DockerClient.connect(environment: environment)) },
                way: { member, cluster in
                    try way(
                        to: member, of: cluster.map { ClusterFolder(state: state, cluster: $0) }, secrets: secrets,
                        acceptsNewHostKeys: acceptsNewHostKeys)
                }
            ),
            connector: try await AgentConnector(
                executable: context.executable, base: context.agentFolder,
                failpoints: environment["SEALER_AGENT_FAILPOINTS"]),
            makeRuntime: { try Kubeadm($0) },
            progress: progress,
            rootWords: RootOptions.words(root)
        )
    }

    private static func way(
        to member: ClusterMember, of folder: ClusterFolder?, secrets: SecretSource, acceptsNewHostKeys: Bool
    ) throws -> any Transport {
        let host = member.address?.description ?? ""
        var options = SSHSessionOptions()
        options.acceptsNewHostKeys = acceptsNewHostKeys
        if let folder {
            options.knownHostsFile = folder.knownHosts
            if acceptsNewHostKeys { try folder.make() }
        }
        let target = try SSHTarget(
            host: host, port: member.ssh.port.map(Int.init), user: member.ssh.user,
            identityFile: member.ssh.identityFile.map { FilePath($0) })
        return SSHTransport(target, host: host, secrets: secrets.secrets(of: member.ssh), options: options)
    }
}

/// Starts this program as the agent on hosts.
struct AgentConnector: HostConnector {
    private let executable: FilePath
    private let digest: Digest
    private let base: FilePath
    private let failpoints: String?

    /// - Parameters:
    ///   - executable: this program; it is hashed once.
    ///   - base: sealer's folder on hosts.
    ///   - failpoints: those that the agents shall have, for tests.
    init(executable: FilePath, base: FilePath, failpoints: String? = nil) async throws {
        self.executable = executable
        self.base = base
        self.failpoints = failpoints
        digest = try await BlockingPool.shared.run {
            var hasher = ContentHasher()
            let file = try FileDescriptor.open(executable, .readOnly, options: [.closeOnExec])
            return try file.closeAfter {
                var buffer = [UInt8](repeating: 0, count: 1 << 20)
                while true {
                    let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                    guard count > 0 else { return hasher.digest() }
                    buffer.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                }
            }
        }
    }

    func connect(_ host: String, over transport: any Transport) async throws -> ConnectedHost {
        let agent = try await AgentHost.connect(
            over: transport, executable: executable, executableDigest: digest, base: base,
            store: base.appending("store"), failpoints: failpoints)
        return ConnectedHost(host: agent, executable: agent.executablePath.string)
    }
}
