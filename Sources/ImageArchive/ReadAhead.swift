import Archive
import Dispatch
import LinuxSystem

/// A source that is read by another thread while its bytes are used: unpacking or hashing there, writing here.
///
/// It holds three chunks of 1 MiB, whatever the size of the source.
final class ReadAhead: ByteSource {
    private let queue: WorkQueue
    private let chunks: [Chunk]
    /// The chunk that is being used.
    private var current = 0
    private var position = 0
    private var hasStarted = false
    private var isAtEnd = false

    /// Makes a source over `source`, which nobody else may touch from now on.
    ///
    /// - Parameter queue: where the reading happens; one thread wide, or the order would be lost.
    init(_ source: any ByteSource, on queue: WorkQueue) {
        self.queue = queue
        let reader = Reader(source)
        chunks = (0..<3).map { _ in Chunk(reader) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !isAtEnd, !buffer.isEmpty else { return 0 }
        if !hasStarted {
            hasStarted = true
            for chunk in chunks { start(chunk) }
            try wait()
        } else if position == chunks[current].count {
            start(chunks[current])
            current = (current + 1) % chunks.count
            position = 0
            try wait()
        }
        let bytes = chunks[current].bytes(from: position).prefix(buffer.count)
        guard !bytes.isEmpty else {
            isAtEnd = true
            return 0
        }
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes))
        position += bytes.count
        return bytes.count
    }

    private func start(_ chunk: Chunk) {
        queue.async { chunk.fill() }
    }

    private func wait() throws {
        try chunks[current].wait()
    }

    /// The source underneath and how its reading ended.
    ///
    /// Not checked for sendability: only the one thread of the queue touches it.
    private final class Reader: @unchecked Sendable {
        private let source: any ByteSource
        private var end: Result<Int, any Error>?

        init(_ source: any ByteSource) { self.source = source }

        func read(into buffer: UnsafeMutableRawBufferPointer) -> Result<Int, any Error> {
            if let end { return end }
            let result = Result { try source.readFully(into: buffer) }
            switch result {
            case .success(let count) where count == buffer.count: break
            case .success: end = .success(0)
            case .failure: end = result
            }
            return result
        }
    }

    /// A piece of the source, on its way from the reading thread to the using one and back.
    ///
    /// Not checked for sendability: the reading thread fills it, and the using one touches it only when `done` was signalled.
    private final class Chunk: @unchecked Sendable {
        private let reader: Reader
        private let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        private let done = DispatchSemaphore(value: 0)
        private var result: Result<Int, any Error> = .success(0)
        private(set) var count = 0

        init(_ reader: Reader) { self.reader = reader }

        deinit { storage.deallocate() }

        func fill() {
            result = reader.read(into: storage)
            done.signal()
        }

        func wait() throws {
            done.wait()
            count = try result.get()
        }

        func bytes(from position: Int) -> Slice<UnsafeRawBufferPointer> {
            UnsafeRawBufferPointer(storage)[position..<count]
        }
    }
}
