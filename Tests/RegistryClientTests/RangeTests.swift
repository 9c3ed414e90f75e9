import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// A blob that comes in several ranges at once is the same blob.
@Suite struct RangeTests {
    private static let size = 3_000_007
    private let blob: Data
    private let descriptor: Descriptor

    init() {
        var random = SeededGenerator(seed: 41)
        var bytes = Data(capacity: Self.size + 8)
        while bytes.count < Self.size { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        blob = bytes.prefix(Self.size)
        descriptor = Descriptor(mediaType: MediaType.layer, digest: .of(blob), size: Int64(Self.size))
    }

    private func configuration(enough: Double = .infinity) -> RegistryConfiguration {
        var configuration = quickConfiguration()
        configuration.limits.resumableSize = 1000
        configuration.limits.ranges.minimum = 10_000
        configuration.limits.ranges.size = 200_000
        configuration.limits.ranges.probe = 100_000
        configuration.limits.ranges.enough = enough
        return configuration
    }

    /// The bounds of a range that was asked for.
    private static func bounds(_ request: FakeRegistry.Request, size: Int) -> ClosedRange<Int>? {
        guard let value = request.headers["range"], value.hasPrefix("bytes=") else { return nil }
        let parts = value.dropFirst("bytes=".count).split(separator: "-")
        guard let from = parts.first.flatMap({ Int($0) }) else { return nil }
        return from...(parts.count == 2 ? Int(parts[1]) ?? size - 1 : size - 1)
    }

    private static func serve(_ blob: Data, _ request: FakeRegistry.Request) -> FakeRegistry.Answer {
        guard let bounds = bounds(request, size: blob.count) else { return .reply(200, [:], Array(blob)) }
        let range = "bytes \(bounds.lowerBound)-\(bounds.upperBound)/\(blob.count)"
        return .reply(206, ["Content-Range": range], Array(blob[bounds]))
    }

    /// Fetches the blob; returns the requests.
    private func fetch(
        _ configuration: RegistryConfiguration,
        likesRanges: Bool? = nil,
        _ handler: @escaping FakeRegistry.Handler
    ) async throws -> [FakeRegistry.Request] {
        let scratch = try Scratch()
        let registry = try await FakeRegistry.start(handler)
        let client = RegistryClient(configuration: configuration)
        if let likesRanges { client.note(likesRanges: likesRanges, registry.host) }
        let received = Received()
        let store = try await ImageStore.open(scratch.path)
        let (descriptor, host) = (descriptor, registry.host)
        let result = await Result.catching {
            try await client.fetchBlob(descriptor, from: Reference("\(host)/a/b:v1"), into: store) { received.add($0) }
        }
        await client.close()
        try await registry.stop()
        try result.get()
        #expect(try readFile(store.path(of: descriptor.digest)) == blob)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
        #expect(received.bytes == descriptor.size)
        #expect(client.downloads == 0)
        return registry.requests
    }

    @Test func rangesCoverTheBlobOnce() async throws {
        let blob = blob
        let requests = try await fetch(configuration(), likesRanges: true) { Self.serve(blob, $0) }
        let bounds = requests.compactMap { Self.bounds($0, size: Self.size) }.sorted { $0.lowerBound < $1.lowerBound }
        #expect(bounds.count == requests.count)
        #expect(bounds.first?.lowerBound == 0)
        #expect(bounds.last?.upperBound == Self.size - 1)
        #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0.upperBound + 1 == $1.lowerBound })
    }

    /// Whichever turns out to be faster: the bytes are the same.
    @Test func aSlowStreamIsTriedAgainstRanges() async throws {
        let blob = blob
        let requests = try await fetch(configuration()) { Self.serve(blob, $0) }
        #expect(requests.first?.headers["range"] == nil)
        #expect(requests.contains { $0.headers["range"]?.hasSuffix("-") == false })
    }

    @Test func aStreamThatIsFastEnoughIsKept() async throws {
        let blob = blob
        let requests = try await fetch(configuration(enough: 0)) { Self.serve(blob, $0) }
        #expect(requests.count == 1)
    }

    @Test(arguments: [200, 416, 206])
    func aRegistryWithoutRangesGetsAStream(_ status: Int) async throws {
        let blob = blob
        let requests = try await fetch(configuration(), likesRanges: true) { request in
            guard request.headers["range"] != nil, status != 200 else { return .reply(200, [:], Array(blob)) }
            return status == 416
                ? .reply(416, [:], []) : .reply(206, ["Content-Range": "bytes 0-9/10"], Array(repeating: 7, count: 10))
        }
        // Ranges that were asked for before that was known may come after it.
        #expect(requests.contains { $0.headers["range"] == nil })
    }

    @Test func aRangeThatBreaksIsGoneOnWith() async throws {
        let blob = blob
        // More breaks than attempts: each of them brings some bytes, and so is none of those that count.
        let cuts = Mutex(9)
        let requests = try await fetch(configuration(), likesRanges: true) { request in
            guard let bounds = Self.bounds(request, size: Self.size), bounds.lowerBound >= 800_000 else {
                return Self.serve(blob, request)
            }
            let isCut = cuts.withLock { left in
                left -= 1
                return left >= 0
            }
            guard isCut else { return Self.serve(blob, request) }
            let range = "bytes \(bounds.lowerBound)-\(bounds.upperBound)/\(Self.size)"
            return .cutReply(206, ["Content-Range": range], Array(blob[bounds].prefix(5000)), length: bounds.count)
        }
        // What was written is not asked for again.
        let first = requests.compactMap { Self.bounds($0, size: Self.size)?.lowerBound }.filter { $0 == 0 }
        #expect(first.count == 1)
    }

    @Test func wrongBytesInARangeCostOneStream() async throws {
        let blob = blob
        let isFirst = Mutex(true)
        let requests = try await fetch(configuration(), likesRanges: true) { request in
            guard let bounds = Self.bounds(request, size: Self.size), bounds.lowerBound == 400_000 else {
                return Self.serve(blob, request)
            }
            let lies = isFirst.withLock { first in
                defer { first = false }
                return first
            }
            guard lies else { return Self.serve(blob, request) }
            let range = "bytes \(bounds.lowerBound)-\(bounds.upperBound)/\(Self.size)"
            return .reply(206, ["Content-Range": range], [UInt8](repeating: 7, count: bounds.count))
        }
        #expect(requests.last?.headers["range"] == nil)
    }
}
