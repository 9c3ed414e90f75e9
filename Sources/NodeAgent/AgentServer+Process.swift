import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

extension AgentServer {
    /// Serves this process' standard input and output until the input ends: `sealer node agent`.
    ///
    /// - Parameter store: the node's store; it is made when it is not there.
    public static func serveStandardStreams(store: FilePath) async throws {
        // What other code prints must not get among the frames: it goes to standard error.
        let output = dup(STDOUT_FILENO)
        guard output >= 0, fcntl(output, F_SETFD, FD_CLOEXEC) == 0, dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 else {
            throw Failure(.system, "cannot take over the standard output", causes: [Errno(rawValue: errno)])
        }
        // Commands that the agent runs must not read its input.
        let input = dup(STDIN_FILENO)
        guard input >= 0, fcntl(input, F_SETFD, FD_CLOEXEC) == 0 else {
            throw Failure(.system, "cannot take over the standard input", causes: [Errno(rawValue: errno)])
        }
        let channel = DescriptorChannel(
            input: FileDescriptor(rawValue: input), output: FileDescriptor(rawValue: output))
        let executable = try await BlockingPool.shared.run { try ownExecutable() }
        let imageStore = try await ImageStore.open(store)
        let local = LocalStore(imageStore)
        let server = AgentServer(
            services: NodeServices(
                store: local,
                fetcher: RegistryFetcher(into: local),
                unpacker: LayerUnpacker(imageStore)
            ),
            digest: try await BlockingPool.shared.run { try fileDigest(of: "/proc/self/exe") },
            executable: executable,
            stateFolder: store,
            leaseFile: store.removingLastComponent().appending("lock.json"),
            // Whoever is not root can write nothing there, nor do to the host what must not be done twice at once.
            runFolder: geteuid() == 0 ? "/run/sealer" : nil
        )
        try await server.serve(channel)
    }

    private static func ownExecutable() throws -> FilePath {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                characters.baseAddress.map { readlink("/proc/self/exe", $0, characters.count) } ?? -1
            }
        }
        guard count > 0 else {
            throw Failure(
                .system, "cannot find the own executable", at: "/proc/self/exe", causes: [Errno(rawValue: errno)])
        }
        return FilePath(String(decoding: buffer[..<count], as: UTF8.self))
    }
}
