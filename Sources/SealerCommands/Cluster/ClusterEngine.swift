import ApplyEngine
import ClusterRuntime
import DockerEngine
import FoundationEssentials
import ImageStore
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// Wires the apply engine: containers as hosts, and this very program as their agent.
struct ClusterEngine {
    static func make(context: CommandContext, root: String?, progress: any ProgressSink) async throws -> Engine {
        let docker = try await DockerClient.connect(environment: context.environment)
        return Engine(
            store: try await context.store(root),
            state: try context.root(root),
            infra: ContainerProvider(docker),
            connector: try await AgentConnector(executable: context.executable),
            makeRuntime: { try Kubeadm($0) },
            progress: progress
        )
    }
}

/// Starts this program as the agent on hosts.
struct AgentConnector: HostConnector {
    private let executable: FilePath
    private let digest: Digest

    /// - Parameter executable: this program; it is hashed once.
    init(executable: FilePath) async throws {
        self.executable = executable
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

    func connect(_ host: ProvisionedHost) async throws -> (host: any Host, executable: String) {
        let agent = try await AgentHost.connect(over: host.transport, executable: executable, executableDigest: digest)
        return (agent, agent.executablePath.string)
    }
}
