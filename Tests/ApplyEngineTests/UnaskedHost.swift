import FoundationEssentials
import OCI
import Remote
import Report
import SystemPackage

/// A host of a test that only does what the test says: everything else that is asked of it is a failure.
protocol UnaskedHost: Host {}

extension UnaskedHost {
    private func never() -> Failure { Failure(.software, "the test's host does not do that", at: name) }

    var isLost: Bool { false }
    func facts() async throws -> HostFacts { throw never() }
    func run(
        _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult { throw never() }
    func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws { throw never() }
    func readFile(_ path: FilePath, limit: Int) async throws -> Data? { throw never() }
    func inspect(_ paths: [FilePath]) async throws -> [String: FileState] { throw never() }
    func delete(_ path: FilePath) async throws { throw never() }
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
    func close() async {}
}
