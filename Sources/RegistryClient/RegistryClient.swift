import FoundationEssentials
import ImageStore
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// What a name stands for in its registry: a manifest or an index, byte for byte.
public struct ResolvedImage: Sendable, Hashable {
    /// The name that was asked for.
    public let reference: Reference
    /// Type, digest and size of the document.
    public let descriptor: Descriptor
    /// The document as it came.
    public let bytes: Data
    /// The document, parsed.
    public let document: Document
}

/// Speaks with registries (OCI distribution specification 1.1), with the mirrors, credentials and certificates of its
/// configuration. Whatever it returns or stores has the digest that it should have.
///
/// Every failure is a `Failure` that names the registry and the image; when several places were tried, all are listed.
public final class RegistryClient: Sendable {
    private struct State {
        var schemes: [String: String] = [:]
        var unreachableUntil: [String: ContinuousClock.Instant] = [:]
        var refusesChunks: Set<String> = []
        /// Whether ranges at once are faster, by host.
        var likesRanges: [String: Bool] = [:]
        var downloads = 0
    }

    /// What the client was made with.
    public let configuration: RegistryConfiguration
    let progress: any ProgressSink
    let transport: Transport
    let authenticator: Authenticator
    private let state = Mutex(State())

    /// Makes a client. It keeps connections open for a while; they end with it, or with `close`.
    ///
    /// - Parameter progress: gets warnings, for instance of a mirror with wrong content.
    public init(configuration: RegistryConfiguration, progress: any ProgressSink = SilentProgress()) {
        self.configuration = configuration
        self.progress = progress
        transport = Transport(
            limits: configuration.limits, trustFile: configuration.trustFile, certificates: configuration.certificates,
            proxies: configuration.proxies, addresses: configuration.addresses)
        authenticator = Authenticator(configuration: configuration, transport: transport, progress: progress)
    }

    /// Closes all connections; the client cannot be used after it.
    public func close() async {
        await transport.close()
    }

    /// Finds out what a name stands for: by its digest when it has one, else by its tag.
    ///
    /// - Throws: `Failure` of kind `notFound`, `denied`, `unreachable`, `timeout` or `integrity`.
    public func resolve(_ reference: Reference) async throws -> ResolvedImage {
        let name = reference.digest?.description ?? reference.tag ?? "latest"
        return try await overEndpoints(of: reference, subject: reference.familiar) { endpoint in
            try await self.document(
                name,
                at: endpoint,
                digest: reference.digest,
                expected: nil,
                reference: reference,
                subject: reference.familiar
            )
        }
    }

    /// Gets a manifest or an index that a descriptor refers to, from the repository of `reference`.
    ///
    /// - Throws: `Failure`, of kind `integrity` when what comes is not what the descriptor says.
    public func manifest(_ descriptor: Descriptor, in reference: Reference) async throws -> ResolvedImage {
        let subject = "the manifest \(descriptor.digest) of \(reference.familiar)"
        guard (0...Document.sizeLimit).contains(descriptor.size) else {
            throw Failure(
                .integrity, "\(subject) should have \(descriptor.size) bytes, more than \(Document.sizeLimit)")
        }
        let pinned = try Reference(
            domain: reference.domain,
            path: reference.path,
            tag: reference.tag,
            digest: descriptor.digest
        )
        return try await overEndpoints(of: pinned, subject: subject) { endpoint in
            try await self.document(
                descriptor.digest.description,
                at: endpoint,
                digest: descriptor.digest,
                expected: descriptor,
                reference: reference,
                subject: subject
            )
        }
    }

    // MARK: - Places and attempts

    /// Tries the places of an image in turn, each with its attempts, until one gives the result.
    func overEndpoints<Result: Sendable>(
        of reference: Reference,
        subject: String,
        _ body: (Endpoint) async throws -> Result
    ) async throws -> Result {
        try await over(try configuration.endpoints(for: reference), subject: subject, body)
    }

    func over<Result: Sendable>(
        _ endpoints: [Endpoint],
        subject: String,
        _ body: (Endpoint) async throws -> Result
    ) async throws -> Result {
        var failures: [Failure] = []
        for endpoint in inOrder(endpoints) {
            do {
                return try await attempting { try await body(endpoint) }
            } catch let failure as Failure {
                if failure.kind == .unreachable || failure.kind == .timeout { avoid(endpoint) }
                // Our own disk is at fault: another registry will not help.
                if failure.kind == .system || failure.kind == .software { throw failure }
                if endpoint.isMirror, failure.kind == .integrity { progress.send(.warning(failure.description)) }
                failures.append(failure)
            }
        }
        guard failures.count > 1, let last = failures.last else {
            throw failures.first ?? Failure(.software, "no registry was tried for \(subject)")
        }
        throw Failure(
            last.kind,
            "cannot get \(subject) from any of \(failures.count) registries",
            remedy: last.remedy,
            causes: failures.map { failure in
                var failure = failure
                failure.remedy = nil
                return failure
            }
        )
    }

    /// Makes attempts until one succeeds, another one makes no sense, or there were enough that did not get on.
    func attempting<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        let limits = configuration.limits
        var attempt = 1
        while true {
            do {
                return try await body()
            } catch let error as AttemptError {
                if error.gotOn { attempt = 1 }
                guard case .later(let wish) = error.retry, attempt < limits.attempts else {
                    var failure = error.failure
                    if attempt > 1 { failure.what += ", \(attempt) times" }
                    throw failure
                }
                try await Task.sleep(for: limits.delay(after: attempt, wish: wish))
                attempt += 1
            }
        }
    }

    /// Places that could not be reached a moment ago come last: a dead mirror must not cost its time-outs for every blob.
    private func inOrder(_ endpoints: [Endpoint]) -> [Endpoint] {
        let now = ContinuousClock.now
        let isAvoided = state.withLock { state in
            endpoints.map { (state.unreachableUntil[$0.host] ?? now) > now }
        }
        let pairs = zip(endpoints, isAvoided)
        return pairs.filter { !$0.1 }.map(\.0) + pairs.filter(\.1).map(\.0)
    }

    private func avoid(_ endpoint: Endpoint) {
        let until = ContinuousClock.now + configuration.limits.avoidUnreachable
        state.withLock { $0.unreachableUntil[endpoint.host] = until }
    }

    func spokenScheme(of host: String) -> String? {
        state.withLock { $0.schemes[host] }
    }

    func remember(scheme: String, of host: String) {
        state.withLock { $0.schemes[host] = scheme }
    }

    /// Whether a host took no chunk before.
    func refusesChunks(_ host: String) -> Bool {
        state.withLock { $0.refusesChunks.contains(host) }
    }

    func noteRefusesChunks(_ host: String) {
        state.withLock { _ = $0.refusesChunks.insert(host) }
    }

    /// Whether several ranges at once were faster at a host than one stream; nil when that was never tried.
    func likesRanges(_ host: String) -> Bool? {
        state.withLock { $0.likesRanges[host] }
    }

    func note(likesRanges: Bool, _ host: String) {
        state.withLock { $0.likesRanges[host] = likesRanges }
    }

    /// How many large blobs are being downloaded.
    var downloads: Int { state.withLock { $0.downloads } }

    func countDownloads(_ change: Int) {
        state.withLock { $0.downloads += change }
    }
}
