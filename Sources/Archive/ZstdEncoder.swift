import CZstd
import Dispatch
import Glibc
import LinuxSystem
import Report

/// Packs into zstd frames of 8 MiB of content each, with checksums: the same bytes in give the same bytes out.
///
/// Frames are independent, so several threads pack at once, and the result does not depend on how many. Every decoder reads frames one
/// after the other as one stream (RFC 8878, 3.1). libzstd's own threads are not used: the static library of Debian lacks them, and
/// their output differs from that without.
public final class ZstdEncoder: ByteSink {
    private let sink: any ByteSink
    private let level: Int32
    private let workers: Int
    private let queue: WorkQueue
    private var filling: ZstdBlock
    /// The blocks that are being packed, the first one first.
    private var running: [ZstdBlock] = []
    private var idle: [ZstdBlock] = []
    private var isEmpty = true

    /// Makes an encoder that writes into `sink`.
    ///
    /// - Parameter workers: how many threads pack; each takes some 20 MiB. All cores up to four if not given.
    public init(into sink: any ByteSink, level: Int32 = 3, workers: Int? = nil) throws {
        self.sink = sink
        self.level = level
        self.workers = max(1, workers ?? min(4, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        queue = WorkQueue(width: self.workers)
        filling = try ZstdBlock(level: level)
    }

    /// Packs the bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(filling.fill(from: rest)))
            if filling.isFull {
                try startFilled()
                filling = try idle.popLast() ?? ZstdBlock(level: level)
            }
        }
    }

    /// Packs what is left and finishes the sink.
    public func finish() throws {
        // No content at all is an empty frame.
        if isEmpty || !filling.isEmpty { try startFilled() }
        while !running.isEmpty { try writeFirst() }
        try sink.finish()
    }

    private func startFilled() throws {
        if running.count == workers { try writeFirst() }
        let block = filling
        isEmpty = false
        running.append(block)
        queue.async { block.pack() }
    }

    private func writeFirst() throws {
        let block = running.removeFirst()
        try block.withPacked { try sink.write($0) }
        block.empty()
        idle.append(block)
    }
}

/// The content of one frame, on its way from the encoder to a worker and back.
///
/// Not checked for sendability: the encoder's thread fills it, hands it to one worker, and touches it again only when `done` was
/// signalled.
private final class ZstdBlock: @unchecked Sendable {
    static let size = 8 << 20

    private let context: OpaquePointer
    private let content: UnsafeMutableRawBufferPointer
    private let packed: UnsafeMutableRawBufferPointer
    private var filled = 0
    private var status = 0
    private let done = DispatchSemaphore(value: 0)

    init(level: Int32) throws {
        guard let context = ZSTD_createCCtx() else { throw Failure(.system, "zstd cannot start: no memory") }
        self.context = context
        content = .allocate(byteCount: Self.size, alignment: 64)
        packed = .allocate(byteCount: ZSTD_compressBound(Self.size), alignment: 64)
        for (parameter, value) in [(ZSTD_c_compressionLevel, level), (ZSTD_c_checksumFlag, 1)] {
            try Self.check(ZSTD_CCtx_setParameter(context, parameter, value))
        }
    }

    deinit {
        ZSTD_freeCCtx(context)
        content.deallocate()
        packed.deallocate()
    }

    var isEmpty: Bool { filled == 0 }
    var isFull: Bool { filled == content.count }

    /// Takes as many of the bytes as there is room for, and says how many.
    func fill(from bytes: UnsafeRawBufferPointer) -> Int {
        let count = min(bytes.count, content.count - filled)
        UnsafeMutableRawBufferPointer(rebasing: content[filled...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
        filled += count
        return count
    }

    /// Packs the content; a worker's job.
    func pack() {
        status = ZSTD_compress2(context, packed.baseAddress, packed.count, content.baseAddress, filled)
        done.signal()
    }

    /// Waits for the worker, which does nothing but compute, and gives the frame.
    func withPacked(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        done.wait()
        try Self.check(status)
        try body(UnsafeRawBufferPointer(rebasing: packed[..<status]))
    }

    func empty() { filled = 0 }

    private static func check(_ status: Int) throws {
        guard ZSTD_isError(status) == 0 else {
            throw Failure(.software, "zstd cannot pack: \(String(cString: ZSTD_getErrorName(status)))")
        }
    }
}
