import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import Report
import SystemPackage

/// What goes out on a connection.
typealias OutboundPart = HTTPPart<HTTPResponseHead, IOData>

/// Sends a part of a file in chunks; the next chunk waits until the client has taken the last one, and a client that takes
/// none for too long loses its connection. Memory does not grow with the file.
struct BlobSender {
    let channel: any Channel
    let chunkSize: Int64
    let limit: Duration

    /// Sends by sendfile: the kernel moves the bytes, they never come to this process. Only without TLS.
    ///
    /// - Returns: how many bytes were sent, also when it threw through `sent`.
    func sendDirectly(_ file: SystemPackage.FileDescriptor, _ range: Range<Int64>, sent: (Int64) -> Void) async throws {
        let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: file.rawValue)
        let sending = FileSending(handle, range, to: channel, chunkSize: chunkSize, limit: limit)
        do {
            try await sending.run()
        } catch {
            sent(sending.sent)
            try handle.close()
            throw error
        }
        sent(sending.sent)
        try handle.close()
    }

    /// Sends by reading into memory, a chunk at a time.
    func sendThroughMemory(_ file: SystemPackage.FileDescriptor, _ range: Range<Int64>, sent: (Int64) -> Void)
        async throws
    {
        do {
            var position = range.lowerBound
            while position < range.upperBound {
                let start = position
                let count = Int(min(chunkSize, range.upperBound - position))
                let buffer = try await BlockingPool.shared.run { try Self.read(file, at: start, count: count) }
                try await write(.body(.byteBuffer(buffer)))
                sent(Int64(buffer.readableBytes))
                position += Int64(buffer.readableBytes)
            }
        } catch {
            try file.close()
            throw error
        }
        try file.close()
    }

    private static func read(_ file: SystemPackage.FileDescriptor, at offset: Int64, count: Int) throws -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
            try file.read(fromAbsoluteOffset: offset, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
        }
        guard buffer.readableBytes > 0 else {
            throw Failure(.integrity, "a blob of the store is shorter than it was when it was opened")
        }
        return buffer
    }

    /// Writes one part and waits until it is out, within the limit.
    func write(_ part: OutboundPart) async throws {
        let channel = channel
        let timer = channel.eventLoop.scheduleTask(in: .init(limit)) { channel.close(promise: nil) }
        defer { timer.cancel() }
        try await channel.writeAndFlush(part).get()
    }
}
