import ImageStore
import OCI
import Remote
import Report
import Synchronization

/// Brings a ClusterImage to the hosts: each byte at most once from the operator to the first master, then from the first
/// master's registry to the others. Blobs are named by digest and verified where they arrive; what is there is not sent.
public struct ImageDistribution: Sendable {
    /// How many blobs travel to one host at once.
    private static let concurrency = 3

    private let image: ClusterImage
    private let reference: Reference
    private let store: ImageStore

    /// Makes the distribution of an image of the store.
    public init(_ image: ClusterImage, named reference: Reference, from store: ImageStore) {
        self.image = image
        self.reference = reference
        self.store = store
    }

    /// The blobs of the rootfs: manifest, configuration, layers.
    public var rootfsBlobs: [Descriptor] { [image.rootfs, image.manifest.config] + image.manifest.layers }

    /// Sends the blobs of the rootfs that the host lacks, so that it can be unpacked while the rest is on its way.
    public func sendRootfs(to host: any Host, step: Step) async throws {
        try await send(rootfsBlobs, to: host, step: step)
    }

    /// Sends all blobs of the image that the host lacks, and gives the image its name there.
    ///
    /// - Throws: `Failure` of kind `integrity` when a blob is still missing afterwards.
    public func sendAll(to host: any Host, step: Step) async throws {
        let blobs = try await store.closure(of: image.descriptor)
        try await send(blobs, to: host, step: step)
        let missing = try await host.missing(blobs)
        guard missing.isEmpty else {
            throw Failure(
                .integrity,
                "the host still lacks \(missing.map { $0.digest.short }.joined(separator: ", ")) of \(reference.familiar)",
                at: host.name
            )
        }
        try await host.name(image.descriptor, as: reference)
    }

    private func send(_ blobs: [Descriptor], to host: any Host, step: Step) async throws {
        let missing = try await host.missing(blobs)
        let total = missing.reduce(0) { $0 + $1.size }
        let meter = Meter(step: step, total: total)
        try await withThrowingTaskGroup(of: Void.self) { group in
            // Large ones first: the last to end is then a small one.
            var rest = missing.sorted { $0.size > $1.size }.makeIterator()
            func start(_ blob: Descriptor) {
                group.addTask {
                    let path = store.path(of: blob.digest)
                    try await host.send(blob, from: path) { meter.set($0, of: blob.digest) }
                    meter.set(blob.size, of: blob.digest)
                }
            }
            for _ in 0..<Self.concurrency {
                if let blob = rest.next() { start(blob) }
            }
            while try await group.next() != nil {
                if let blob = rest.next() { start(blob) }
            }
        }
    }

    /// A registry that serves the image.
    public struct Source: Sendable, Hashable {
        /// Where it is: `https://sea.hub:5000`.
        public var url: String
        /// The address under which its name is to be found; nil for what the host itself makes of the name.
        public var address: String?
        /// The certificate that the registry's must go back to, PEM.
        public var authority: String

        /// Names one.
        public init(url: String, address: String? = nil, authority: String) {
            self.url = url
            self.address = address
            self.authority = authority
        }
    }

    /// Has a host fetch the rootfs from a master's registry.
    public func fetchRootfs(on host: any Host, from source: Source, step: Step) async throws {
        try await fetch(rootfsBlobs, on: host, from: source, step: step)
    }

    private func fetch(_ blobs: [Descriptor], on host: any Host, from source: Source, step: Step) async throws {
        let missing = try await host.missing(blobs)
        guard !missing.isEmpty else { return }
        let total = missing.reduce(0) { $0 + $1.size }
        let request = FetchRequest(
            registry: source.url,
            authority: source.authority,
            address: source.address,
            repository: reference.repository,
            blobs: missing
        )
        try await host.fetch(request) { step.advance($0, of: total) }
        let left = try await host.missing(missing)
        guard left.isEmpty else {
            throw Failure(
                .integrity,
                "the host still lacks \(left.map { $0.digest.short }.joined(separator: ", ")) of \(reference.familiar)",
                at: host.name
            )
        }
    }

    /// How many blobs of the whole image a host lacks.
    public func missingOfImage(on host: any Host) async throws -> Int {
        try await host.missing(store.closure(of: image.descriptor)).count
    }

    /// Has a host fetch the whole image from another master's registry, and gives it its name.
    public func fetchAll(on host: any Host, from source: Source, step: Step) async throws {
        let blobs = try await store.closure(of: image.descriptor)
        try await fetch(blobs, on: host, from: source, step: step)
        try await host.name(image.descriptor, as: reference)
    }

    /// Unpacks the rootfs on a host that has its blobs.
    public func unpackRootfs(on host: any Host, to folder: String, step: Step) async throws {
        let total = image.manifest.layers.reduce(0) { $0 + $1.size }
        try await host.unpack(UnpackRequest(manifest: image.rootfs, destination: folder)) {
            step.advance($0, of: total)
        }
    }
}

/// Adds up what several transfers report.
private final class Meter: Sendable {
    private let step: Step
    private let total: Int64
    private let sent = Mutex<[Digest: Int64]>([:])

    init(step: Step, total: Int64) {
        self.step = step
        self.total = total
    }

    func set(_ bytes: Int64, of digest: Digest) {
        let sum = sent.withLock { sent in
            sent[digest] = bytes
            return sent.values.reduce(0, +)
        }
        step.advance(sum, of: total)
    }
}
