import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// A stream was left because it is slow: perhaps several at once are faster.
private struct SlowStream: Error {
    /// Bytes a second.
    var rate: Double
}

/// The registry does not give a range that was asked for.
private struct RangeRefused: Error {}

/// The bytes of one range from an offset on; with a failure only those that came before it.
private struct ReceivedRange {
    var from: Int64
    var bytes: ByteBuffer
    var failure: AttemptError?
}

extension RegistryClient {
    /// Fetches what is missing of a blob: in one stream, or in several ranges at once where that has shown to be faster.
    ///
    /// The bytes are written in their order either way, so that whatever ends this, the next attempt goes on at their end.
    ///
    /// - Returns: whether ranges were used.
    func fetchRest(of download: Download, at endpoint: Endpoint, errand: Errand) async throws -> Bool {
        let (blob, policy) = (download.blob, configuration.limits.ranges)
        let size = blob.expected.size
        var usedRanges = false
        while true {
            let mayUse = policy.width > 1 && size - blob.count >= policy.minimum && !download.isOfOnePlace
            switch mayUse ? likesRanges(endpoint.host) : false {
            case true?:
                usedRanges = true
                do {
                    try await ranges(download, upTo: size, at: endpoint, errand: errand)
                    return true
                } catch is RangeRefused {
                    note(likesRanges: false, endpoint.host)
                }
            case false?:
                try await stream(download, at: endpoint, errand: errand, check: {})
                return usedRanges
            case nil:
                do {
                    let watch = StreamWatch(from: blob.count)
                    try await stream(download, at: endpoint, errand: errand) { [self] in
                        guard let rate = watch.rate(at: blob.count, after: policy.probe) else { return }
                        let isWorthIt = rate < policy.enough && size - blob.count >= policy.minimum
                        if isWorthIt, downloads <= policy.downloads { throw SlowStream(rate: rate) }
                    }
                    return usedRanges
                } catch let slow as SlowStream {
                    usedRanges = true
                    download.show(blob.count)
                    try await tryRanges(download, against: slow.rate, at: endpoint, errand: errand)
                }
            }
        }
    }

    /// Fetches some ranges, to see whether that is faster than a stream was.
    private func tryRanges(_ download: Download, against rate: Double, at endpoint: Endpoint, errand: Errand)
        async throws
    {
        let (blob, policy) = (download.blob, configuration.limits.ranges)
        let watch = StreamWatch(from: blob.count)
        let end = min(blob.count + policy.probe, blob.expected.size)
        do {
            try await ranges(download, upTo: end, at: endpoint, errand: errand)
        } catch {
            note(likesRanges: false, endpoint.host)
            guard error is RangeRefused else { throw error }
            return download.show(blob.count)
        }
        // A quarter more: less may be chance, and ranges cost memory.
        note(likesRanges: (watch.rate(at: blob.count, after: 1) ?? 0) > rate * 1.25, endpoint.host)
    }

    /// Fetches ranges, several at once, up to an offset.
    ///
    /// When one breaks, those before it are waited for, and all bytes up to the break are written: an attempt that brought
    /// bytes has got on, whichever range was the first to break.
    private func ranges(_ download: Download, upTo end: Int64, at endpoint: Endpoint, errand: Errand) async throws {
        let (blob, policy) = (download.blob, configuration.limits.ranges)
        try await withThrowingTaskGroup(of: ReceivedRange.self) { group in
            var next = blob.count
            var broken: ReceivedRange?
            var waiting: [Int64: ByteBuffer] = [:]
            func start() {
                guard next < end, broken == nil else { return }
                let (from, count) = (next, min(max(policy.size, 1), end - next))
                next += count
                group.addTask {
                    try await self.range(from: from, count: count, of: download, at: endpoint, errand: errand)
                }
            }
            func write(_ bytes: ByteBuffer) async throws {
                try await BlockingPool.shared.run { try bytes.withUnsafeReadableBytes { try blob.write($0) } }
            }
            for _ in 0..<policy.width { start() }
            while let range = try await group.next() {
                if range.failure == nil {
                    waiting[range.from] = range.bytes
                } else if range.from < broken?.from ?? .max {
                    broken = range
                }
                // A further one is only asked for when one is written: this bounds the memory.
                while let ready = waiting.removeValue(forKey: blob.count) {
                    try await write(ready)
                    start()
                }
                if let broken, broken.from == blob.count, let failure = broken.failure {
                    try await write(broken.bytes)
                    throw failure
                }
            }
        }
    }

    /// - Throws: what another attempt would not change, and `CancellationError`.
    private func range(from: Int64, count: Int64, of download: Download, at endpoint: Endpoint, errand: Errand)
        async throws -> ReceivedRange
    {
        let expected = download.blob.expected
        var ask = Ask(path: "blobs/\(expected.digest)", accepted: [200, 206, 416], errand: errand)
        ask.headers.add(name: "Range", value: "bytes=\(from)-\(from + count - 1)")
        let bytes = Mutex(ByteBuffer())
        do {
            let reply = try await send(ask, to: endpoint)
            guard reply.status == 206, Self.range(reply.headers, is: from...from + count - 1, of: expected.size) else {
                throw RangeRefused()
            }
            try await receive(reply, count: count, errand: errand) { piece in
                bytes.withLock { _ = $0.writeImmutableBuffer(piece) }
            } came: {
                download.add($0)
            }
        } catch let failure as AttemptError {
            return ReceivedRange(from: from, bytes: bytes.withLock { $0 }, failure: failure)
        }
        return ReceivedRange(from: from, bytes: bytes.withLock { $0 }, failure: nil)
    }

    /// Whether `Content-Range` says exactly what was asked for (RFC 9110 §14.4).
    static func range(_ headers: HTTPHeaders, is bytes: ClosedRange<Int64>, of size: Int64) -> Bool {
        let values = headers["content-range"]
        guard values.count == 1, let value = values.first?.trimmingBlanks().lowercased() else { return false }
        let range = "bytes \(bytes.lowerBound)-\(bytes.upperBound)"
        return value == "\(range)/\(size)" || value == "\(range)/*"
    }
}

/// Measures how fast bytes come.
private final class StreamWatch: Sendable {
    private let start = ContinuousClock.now
    private let offset: Int64
    private let hasTold = Mutex(false)

    init(from offset: Int64) {
        self.offset = offset
    }

    /// Bytes a second, once, when there are enough of them.
    func rate(at count: Int64, after minimum: Int64) -> Double? {
        guard count - offset >= minimum else { return nil }
        let isFirst = hasTold.withLock { told in
            defer { told = true }
            return !told
        }
        guard isFirst else { return nil }
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        return Double(count - offset) / max(Double(seconds) + Double(attoseconds) / 1e18, 1e-6)
    }
}
