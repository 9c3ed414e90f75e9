import NIOCore
import NIOHTTP1
import Synchronization

/// A part of a file on its way out by sendfile, chunk by chunk, without leaving the channel's event loop in between: a change of
/// threads for every chunk would cost more than the chunk.
final class FileSending: Sendable {
    private let channel: any Channel
    private let file: NIOFileHandle
    private let start: Int64
    private let end: Int64
    private let chunkSize: Int64
    private let limit: TimeAmount
    private let position: Atomic<Int64>
    private let done: EventLoopPromise<Void>

    /// Prepares to send; the file stays open.
    ///
    /// - Parameter limit: a client that takes longer for a chunk loses its connection.
    init(_ file: NIOFileHandle, _ range: Range<Int64>, to channel: any Channel, chunkSize: Int64, limit: Duration) {
        self.channel = channel
        self.file = file
        (start, end) = (range.lowerBound, range.upperBound)
        self.chunkSize = max(chunkSize, 1)
        self.limit = .init(limit)
        position = Atomic(range.lowerBound)
        done = channel.eventLoop.makePromise()
    }

    /// How many bytes were sent so far.
    var sent: Int64 { position.load(ordering: .relaxed) - start }

    /// Sends, and returns when the last byte is out. Called once.
    func run() async throws {
        channel.eventLoop.execute { self.next() }
        try await done.futureResult.get()
    }

    /// Sends the next chunk. The one after it waits until it is out: what is queued would keep the file from being closed.
    private func next() {
        let first = position.load(ordering: .relaxed)
        guard first < end else { return done.succeed() }
        let last = min(first + chunkSize, end)
        let timer = channel.eventLoop.scheduleTask(in: limit) { [channel] in channel.close(promise: nil) }
        let region = FileRegion(fileHandle: file, readerIndex: Int(first), endIndex: Int(last))
        channel.writeAndFlush(OutboundPart.body(.fileRegion(region))).whenComplete { result in
            timer.cancel()
            switch result {
            case .success:
                self.position.store(last, ordering: .relaxed)
                // In its turn: other clients of this loop get theirs, and a fast client no deep recursion.
                self.channel.eventLoop.execute { self.next() }
            case .failure(let error): self.done.fail(error)
            }
        }
    }
}
