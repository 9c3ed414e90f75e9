import FoundationEssentials
import OCI
import Remote
import Report
import Synchronization
import SystemPackage

@testable import ClusterRuntime

/// A host of tests: files in memory, commands answered by a closure that may change them.
final class ScriptedNode: Host {
    typealias Answer = @Sendable (_ command: RemoteCommand, _ files: inout [String: Data]) -> CommandResult

    let name: String
    private let state: Mutex<(files: [String: Data], commands: [RemoteCommand])>
    private let answer: Answer

    init(_ name: String, files: [String: String], answer: @escaping Answer) {
        self.name = name
        state = Mutex((files.mapValues { Data($0.utf8) }, []))
        self.answer = answer
    }

    /// The files' texts by path.
    var files: [String: String] { state.withLock { $0.files.mapValues { String(decoding: $0, as: UTF8.self) } } }
    var commands: [RemoteCommand] { state.withLock { $0.commands } }

    func run(
        _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult {
        state.withLock { state in
            state.commands.append(command)
            return answer(command, &state.files)
        }
    }

    func facts() async throws -> HostFacts { try Self.facts(name) }
    func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws {
        state.withLock { $0.files[path.string] = bytes }
    }
    func readFile(_ path: FilePath, limit: Int) async throws -> Data? { state.withLock { $0.files[path.string] } }
    func inspect(_ paths: [FilePath]) async throws -> [String: FileState] {
        state.withLock { state in
            var found: [String: FileState] = [:]
            for path in paths {
                guard let bytes = state.files[path.string] else { continue }
                found[path.string] = ManagedFile(path, bytes, permissions: 0o600).state
            }
            return found
        }
    }
    func delete(_ path: FilePath) async throws { state.withLock { $0.files[path.string] = nil } }

    private func never() -> Failure { Failure(.software, "the test's host does not do that") }
    func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] { throw never() }
    func send(_ blob: Descriptor, from file: FilePath, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        throw never()
    }
    func name(_ image: Descriptor, as reference: Reference) async throws { throw never() }
    func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws { throw never() }
    func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws { throw never() }
    func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome {
        throw never()
    }
    func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal { throw never() }
    func returnLease(_ id: String?) async throws { throw never() }
    func lease() async throws -> LeaseHolder? { throw never() }
    var isLost: Bool { false }
    func close() async {}

    static func facts(_ name: String) throws -> HostFacts {
        HostFacts(
            hostname: name, kernel: "6.1", operatingSystem: "Debian", platform: .init(architecture: "amd64"),
            processors: 2, memory: 1 << 32, hasSwap: false, freeDisk: 1 << 40, addresses: ["10.0.0.2"], cgroups: "v2",
            hasSystemd: true, isContainer: true, capabilities: 0, programs: [], listeningPorts: [], clock: 0,
            agentDigest: try Digest("sha256:\(String(repeating: "0", count: 64))"), isKubernetesNode: true)
    }
}

extension ClusterSettings {
    /// A cluster that says nothing of its own.
    static func demo(_ version: KubernetesVersion = KubernetesVersion(1, 20, 2)) -> ClusterSettings {
        ClusterSettings(
            name: "demo", version: version, etcdTag: nil, hasCoreDNS: false, podNetworking: .bridge,
            rootfs: "/var/lib/sealer/data/demo/rootfs")
    }
}

extension CommandResult {
    static func succeeded(_ output: String = "") -> CommandResult {
        CommandResult(status: 0, output: Data(output.utf8), error: Data())
    }
    static func failed(_ error: String) -> CommandResult {
        CommandResult(status: 1, output: Data(), error: Data(error.utf8))
    }
}

extension RemoteCommand {
    /// The arguments and the script.
    var words: String {
        (arguments + [input.map { String(decoding: $0, as: UTF8.self) } ?? ""]).joined(separator: " ")
    }
}
