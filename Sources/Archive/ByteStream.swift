/// Bytes that come one chunk after the other. Reading blocks: callers work on the `BlockingPool`.
public protocol ByteSource: AnyObject {
    /// Reads up to `buffer.count` bytes into the buffer.
    ///
    /// - Returns: how many bytes were read, at least 1; 0 only at the end.
    /// - Throws: `Failure` that names the source.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

/// A source that can go over bytes without reading them, for instance a file on disk.
public protocol SkippableSource: ByteSource {
    /// Goes over the next bytes.
    ///
    /// - Returns: how many were skipped; fewer than `count` only at the end of the source.
    func skip(_ count: Int64) throws -> Int64
}

/// Where bytes go, one chunk after the other. Writing blocks: callers work on the `BlockingPool`.
public protocol ByteSink: AnyObject {
    /// Takes all of `bytes`; they are not kept beyond the call.
    ///
    /// - Throws: `Failure` that names the sink.
    func write(_ bytes: UnsafeRawBufferPointer) throws

    /// Ends the stream: writes what is held back, and finishes the sink underneath if there is one. Called once, at the end.
    func finish() throws
}

extension ByteSource {
    /// Reads until the buffer is full or the source ends.
    ///
    /// - Returns: how many bytes were read; fewer than asked for only at the end.
    public func readFully(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            guard count > 0 else { break }
            filled += count
        }
        return filled
    }

    /// Moves all that is left of the source into the sink through one buffer. The sink is not finished.
    ///
    /// - Returns: how many bytes were moved.
    @discardableResult
    public func copy(to sink: any ByteSink, bufferSize: Int = 1 << 18) throws -> Int64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferSize, alignment: 64)
        defer { buffer.deallocate() }
        var total: Int64 = 0
        while true {
            let count = try read(into: buffer)
            guard count > 0 else { return total }
            try sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            total += Int64(count)
        }
    }
}

extension ByteSink {
    /// Writes the bytes of an array.
    public func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }
}

/// A source of bytes that lie in memory.
public final class MemorySource: ByteSource {
    private let bytes: [UInt8]
    private var position = 0

    /// Makes a source of these bytes.
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Copies the next bytes.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, bytes.count - position)
        bytes.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + count]))
        }
        position += count
        return count
    }
}

/// A sink that passes what it gets to a function.
public final class FunctionSink: ByteSink {
    private let take: (UnsafeRawBufferPointer) throws -> Void

    /// Makes the sink; `take` must not keep the bytes beyond the call.
    public init(_ take: @escaping (UnsafeRawBufferPointer) throws -> Void) {
        self.take = take
    }

    /// Passes the bytes on.
    public func write(_ bytes: UnsafeRawBufferPointer) throws { try take(bytes) }

    /// Does nothing: whoever gave the function knows when it is over.
    public func finish() {}
}

/// A sink that keeps all bytes in memory.
public final class MemorySink: ByteSink {
    /// What was written so far.
    public private(set) var bytes: [UInt8] = []

    /// Makes an empty sink.
    public init() {}

    /// Appends the bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        self.bytes.append(contentsOf: bytes)
    }

    /// Does nothing.
    public func finish() {}
}

/// A source that ends after a given number of bytes of another source.
public final class LimitedSource: ByteSource {
    private let source: any ByteSource
    /// How many bytes may still come.
    public private(set) var remaining: Int64

    /// Makes a source of at most `size` bytes of `source`.
    public init(_ source: any ByteSource, size: Int64) {
        self.source = source
        remaining = size
    }

    /// Reads from the source underneath, never beyond the limit.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard remaining > 0 else { return 0 }
        let count = try source.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(Int(clamping: remaining))))
        remaining -= Int64(count)
        return count
    }
}

/// A source that shows each chunk of another source to an observer: for counting, hashing, progress, cancellation.
public final class ObservedSource: ByteSource {
    private let source: any ByteSource
    private let observe: (UnsafeRawBufferPointer) throws -> Void
    /// How many bytes went through.
    public private(set) var count: Int64 = 0

    /// Makes the source; `observe` gets every chunk once, in order, and ends the reading by throwing.
    public init(_ source: any ByteSource, observe: @escaping (UnsafeRawBufferPointer) throws -> Void = { _ in }) {
        self.source = source
        self.observe = observe
    }

    /// Reads from the source underneath and shows what came.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try source.read(into: buffer)
        self.count += Int64(count)
        if count > 0 { try observe(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
        return count
    }
}

/// A sink that shows each chunk to an observer before another sink gets it: for counting, hashing, progress, cancellation.
public final class ObservedSink: ByteSink {
    private let sink: any ByteSink
    private let observe: (UnsafeRawBufferPointer) throws -> Void
    /// How many bytes went through.
    public private(set) var count: Int64 = 0

    /// Makes the sink; `observe` gets every chunk once, in order, and ends the writing by throwing.
    public init(_ sink: any ByteSink, observe: @escaping (UnsafeRawBufferPointer) throws -> Void = { _ in }) {
        self.sink = sink
        self.observe = observe
    }

    /// Shows the bytes and passes them on.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        try observe(bytes)
        try sink.write(bytes)
        count += Int64(bytes.count)
    }

    /// Finishes the sink underneath.
    public func finish() throws {
        try sink.finish()
    }
}
