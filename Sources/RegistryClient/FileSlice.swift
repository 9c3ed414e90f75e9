import ImageStore
import LinuxSystem
import NIOCore
import OCI
import Report
import Synchronization
import SystemPackage

/// A blob of the store that is open for sending.
final class BlobReader: Sendable {
    /// What it is.
    let blob: Descriptor
    private let file: SystemPackage.FileDescriptor

    init(_ blob: Descriptor, in store: ImageStore) async throws {
        let open = try await store.openBlob(blob.digest)
        guard open.size == blob.size else {
            try open.file.close()
            throw Failure(
                .integrity,
                "\(blob.digest) has \(open.size) bytes in the store instead of \(blob.size)",
                at: store.path(of: blob.digest).string,
                remedy: "sealer fsck --repair"
            )
        }
        self.blob = blob
        file = open.file
    }

    deinit {
        // Read only: nothing can be lost by an error here.
        try? file.close()
    }

    /// Reads up to `count` bytes.
    func read(at offset: Int64, count: Int) async throws -> ByteBuffer {
        let (file, blob) = (file, blob)
        return try await BlockingPool.shared.run {
            var buffer = ByteBufferAllocator().buffer(capacity: count)
            do {
                let got = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { free in
                    try file.read(
                        fromAbsoluteOffset: offset, into: UnsafeMutableRawBufferPointer(rebasing: free.prefix(count)))
                }
                guard got > 0 else {
                    throw Failure(
                        .integrity, "\(blob.digest) was cut off while it was sent", remedy: "sealer fsck --repair")
                }
                return buffer
            } catch let error as Errno {
                throw Failure(.system, "cannot read \(blob.digest)", causes: [error])
            }
        }
    }
}

/// A part of a blob as a request's body: read piece by piece, no faster than the network takes it.
struct FileSlice: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    /// How much is read at once, in bytes.
    private static let pieceSize: Int64 = 512 << 10

    let reader: BlobReader
    let offset: Int64
    let length: Int64
    let meter: UploadMeter

    struct AsyncIterator: AsyncIteratorProtocol {
        let slice: FileSlice
        var sent: Int64 = 0
        var last = 0

        mutating func next() async throws -> ByteBuffer? {
            slice.meter.accepted(last)
            guard sent < slice.length else {
                slice.meter.end()
                return nil
            }
            let count = Swift.min(FileSlice.pieceSize, slice.length - sent)
            let piece = try await slice.reader.read(at: slice.offset + sent, count: Int(count))
            sent += Int64(piece.readableBytes)
            last = piece.readableBytes
            slice.meter.wait()
            return piece
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        meter.begin()
        return AsyncIterator(slice: self)
    }
}

/// Watches an upload: whether the network takes bytes, and how long the answer takes after the last one.
final class UploadMeter: Sendable {
    private let meter = ByteMeter()
    private let ended = Mutex<ContinuousClock.Instant?>(nil)
    private let progress: @Sendable (Int64) -> Void

    /// - Parameter progress: gets the number of bytes that the network took since the last call.
    init(progress: @escaping @Sendable (Int64) -> Void) {
        self.progress = progress
        meter.beginWait()
    }

    fileprivate func begin() { ended.withLock { $0 = nil } }

    fileprivate func wait() { meter.beginWait() }

    fileprivate func accepted(_ bytes: Int) {
        meter.endWait(bytes: bytes)
        if bytes > 0 { progress(Int64(bytes)) }
    }

    fileprivate func end() { ended.withLock { $0 = .now } }

    /// How long nothing got on, when that is too long.
    func stalled(_ limits: RegistryLimits) -> Duration? {
        if let end = ended.withLock({ $0 }) { return .now - end >= limits.uploadAnswer ? limits.uploadAnswer : nil }
        return meter.hasStalled(limit: limits.stall, minimum: limits.stallBytes) ? limits.stall : nil
    }
}
