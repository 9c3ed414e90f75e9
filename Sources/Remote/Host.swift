import FoundationEssentials
import OCI
import Report
import SystemPackage

/// A machine of the cluster as the engines see it: whatever reaches it (Docker's exec stream, SSH, a local pipe), the agent
/// over there does these things.
public protocol Host: Sendable {
    /// The host's name for people: `demo-master-0`, `192.168.0.2`.
    var name: String { get }

    /// What the host is and has.
    func facts() async throws -> HostFacts

    /// Runs a command and waits for its end.
    ///
    /// - Parameters:
    ///   - limit: after this time the command's whole process group is killed and `Failure` of kind `timeout` thrown.
    ///   - output: gets each line of both streams as it comes.
    /// - Returns: how it ended; a non-zero status is no error here (see `Host.check`).
    func run(
        _ command: RemoteCommand,
        limit: Duration,
        output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult

    /// Writes a file atomically, making the folders above it.
    func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws

    /// Reads a file of at most `limit` bytes; nil when there is none.
    func readFile(_ path: FilePath, limit: Int) async throws -> Data?

    /// What lies at paths: regular files only, what is not there is left out.
    func inspect(_ paths: [FilePath]) async throws -> [String: FileState]

    /// Deletes a file or a folder with all that is in it; nothing there is fine.
    func delete(_ path: FilePath) async throws

    /// Which of the blobs the host's store lacks, in the given order.
    func missing(_ blobs: [Descriptor]) async throws -> [Descriptor]

    /// Sends a blob from a file of this machine into the host's store, where it is verified before it gets its name.
    ///
    /// - Parameter advanced: gets the number of bytes sent so far, not more often than every 100 ms.
    func send(
        _ blob: Descriptor,
        from file: FilePath,
        advanced: @escaping @Sendable (Int64) -> Void
    ) async throws

    /// Gives an image in the host's store its name. All its blobs must be there.
    func name(_ image: Descriptor, as reference: Reference) async throws

    /// Has the host fetch blobs from a registry into its store, several at once, each verified.
    func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws

    /// Has the host unpack the layers of an image of its store, base first, into a folder, replacing what was there.
    func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws

    /// Takes the lease of the host's cluster, in one step as seen by all who try at once. Who has it already may take it again.
    ///
    /// - Parameters:
    ///   - staleAfter: a holder that gave no sign of life for so long loses it.
    ///   - ended: identifiers of holders that are known to have ended; they lose it at once.
    /// - Returns: that it is taken, or who has it; both are no errors here.
    func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome

    /// Gives a sign of life of who has the lease; makes none where there is none any more.
    func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal

    /// Gives the lease back; nothing there is fine, and somebody else's stays.
    ///
    /// - Parameter id: the owner's; nil removes the lease whoever has it, for a host that is taken back to what it was.
    func returnLease(_ id: String?) async throws

    /// Who has the lease; nil when nobody has. It may be a stale one.
    func lease() async throws -> LeaseHolder?

    /// Whether the connection has ended, so that nothing can be asked any more.
    var isLost: Bool { get }

    /// Ends the connection.
    func close() async
}

/// A command for a host.
public struct RemoteCommand: Sendable, Codable, Hashable {
    /// The program and its arguments; the program is looked for in PATH unless it has a slash.
    public var arguments: [String]
    /// Additions to the agent's environment. They do not show in argument lists.
    public var environment: [String: String]
    /// The working directory, nil for `/`.
    public var workingDirectory: String?
    /// What the command reads from its standard input, nil for nothing.
    public var input: Data?

    /// Makes a command.
    public init(
        _ arguments: [String],
        environment: [String: String] = [:],
        workingDirectory: String? = nil,
        input: Data? = nil
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.input = input
    }

    /// A script for `/bin/bash`, handed over by standard input so that it shows in no argument list. It is read to its end before
    /// it begins: half a script, from somebody who died meanwhile, does nothing. So it must not end in a backslash, nor set by
    /// `shopt` how bash reads the rest of it.
    public static func script(
        _ text: String,
        environment: [String: String] = [:],
        workingDirectory: String? = nil
    ) -> RemoteCommand {
        RemoteCommand(
            ["/bin/bash", "-euo", "pipefail", "-s"],
            environment: environment,
            workingDirectory: workingDirectory,
            // On the first line, so that bash's messages count the lines as they stand here.
            input: Data("{ :; \(text)\n}\n".utf8)
        )
    }
}

/// One line that a command printed.
public struct OutputLine: Sendable, Codable, Hashable {
    /// Where it was printed.
    public enum Stream: String, Sendable, Codable {
        /// Standard output.
        case output
        /// Standard error.
        case error
    }
    /// Where it was printed.
    public var stream: Stream
    /// The line without its end.
    public var text: String

    /// Makes a line.
    public init(stream: Stream, text: String) {
        self.stream = stream
        self.text = text
    }
}

/// How a command ended.
public struct CommandResult: Sendable, Codable, Hashable {
    /// The exit status; 128 + N when signal N ended it.
    public var status: Int32
    /// Standard output, at most its first 4 MiB.
    public var output: Data
    /// Standard error, at most its last 64 KiB.
    public var error: Data

    /// Makes a result.
    public init(status: Int32, output: Data, error: Data) {
        self.status = status
        self.output = output
        self.error = error
    }

    /// Standard output as text.
    public var outputText: String { String(decoding: output, as: UTF8.self) }
    /// Standard error as text.
    public var errorText: String { String(decoding: error, as: UTF8.self) }
}

/// What a host is and has, as its agent sees it.
public struct HostFacts: Sendable, Codable, Hashable {
    /// The host name.
    public var hostname: String
    /// The kernel's release.
    public var kernel: String
    /// `PRETTY_NAME` of /etc/os-release: `Debian GNU/Linux 12 (bookworm)`.
    public var operatingSystem: String
    /// What images it runs.
    public var platform: Platform
    /// Processors.
    public var processors: Int
    /// Memory in bytes.
    public var memory: Int64
    /// Whether swap is on.
    public var hasSwap: Bool
    /// Free bytes of the file system that holds the store and the rootfs.
    public var freeDisk: Int64
    /// Its own addresses that are neither loopback nor link-local, IPv4 first.
    public var addresses: [String]
    /// `v1`, `v2`, `hybrid` (v1 with an empty v2 beside it) or `none`.
    public var cgroups: String
    /// Whether systemd runs as process 1.
    public var hasSystemd: Bool
    /// Whether it is a container.
    public var isContainer: Bool
    /// The capabilities' bounding set (CapBnd of /proc/self/status).
    public var capabilities: UInt64
    /// Programs of those asked about that PATH has: kubelet, containerd, crictl, iptables, …
    public var programs: [String]
    /// TCP ports in state LISTEN.
    public var listeningPorts: [UInt16]
    /// Seconds since 1970 by its clock.
    public var clock: Double
    /// SHA-256 of the agent's own executable.
    public var agentDigest: Digest
    /// Whether /etc/kubernetes/kubelet.conf is there: it is already a member of a cluster.
    public var isKubernetesNode: Bool
    /// The folders of container runtimes and Kubernetes, of those that images take over and empty, that have something in them.
    public var occupied: [String]
    /// The container runtimes that run: `containerd`, `dockerd`.
    public var runtimes: [String]

    /// Makes facts.
    public init(
        hostname: String, kernel: String, operatingSystem: String, platform: Platform, processors: Int, memory: Int64,
        hasSwap: Bool, freeDisk: Int64, addresses: [String], cgroups: String, hasSystemd: Bool, isContainer: Bool,
        capabilities: UInt64, programs: [String], listeningPorts: [UInt16], clock: Double, agentDigest: Digest,
        isKubernetesNode: Bool, occupied: [String] = [], runtimes: [String] = []
    ) {
        self.hostname = hostname
        self.kernel = kernel
        self.operatingSystem = operatingSystem
        self.platform = platform
        self.processors = processors
        self.memory = memory
        self.hasSwap = hasSwap
        self.freeDisk = freeDisk
        self.addresses = addresses
        self.cgroups = cgroups
        self.hasSystemd = hasSystemd
        self.isContainer = isContainer
        self.capabilities = capabilities
        self.programs = programs
        self.listeningPorts = listeningPorts
        self.clock = clock
        self.agentDigest = agentDigest
        self.isKubernetesNode = isKubernetesNode
        self.occupied = occupied
        self.runtimes = runtimes
    }
}

/// Blobs to fetch from a registry.
public struct FetchRequest: Sendable, Codable, Hashable {
    /// The registry: `https://sea.hub:5000`.
    public var registry: String
    /// The certificate that the registry's certificate must go back to, PEM; nil for the host's own trust store.
    public var authority: String?
    /// The address under which the registry's name is to be found; nil for what the host itself makes of the name.
    public var address: String?
    /// The repository to ask for the blobs.
    public var repository: String
    /// What to fetch; manifests are told from blobs by their media type.
    public var blobs: [Descriptor]

    /// Makes a request.
    public init(
        registry: String, authority: String?, address: String? = nil, repository: String, blobs: [Descriptor]
    ) {
        self.registry = registry
        self.authority = authority
        self.address = address
        self.repository = repository
        self.blobs = blobs
    }
}

/// An image to unpack.
public struct UnpackRequest: Sendable, Codable, Hashable {
    /// The manifest of the image, in the host's store.
    public var manifest: Descriptor
    /// The folder that the image's tree becomes.
    public var destination: String

    /// Makes a request.
    public init(manifest: Descriptor, destination: String) {
        self.manifest = manifest
        self.destination = destination
    }
}

extension Host {
    /// Runs a command that must succeed.
    ///
    /// - Throws: `Failure` of kind `commandFailed` that names `purpose`, the host and the status, and shows the last output.
    @discardableResult
    public func check(
        _ command: RemoteCommand,
        purpose: String,
        limit: Duration,
        output: @escaping @Sendable (OutputLine) -> Void = { _ in }
    ) async throws -> CommandResult {
        let result = try await run(command, limit: limit, output: output)
        guard result.status == 0 else {
            let text = result.error.isEmpty ? result.outputText : result.errorText
            let tail = text.split(separator: "\n").suffix(20).joined(separator: "\n")
            throw Failure(
                .commandFailed,
                "\(purpose) failed with status \(result.status)" + (tail.isEmpty ? ", without output" : ":\n\(tail)"),
                at: name
            )
        }
        return result
    }
}
