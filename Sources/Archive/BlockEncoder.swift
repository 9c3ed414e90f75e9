import Dispatch
import Glibc
import LinuxSystem
import Report

/// What packs one block by itself, again and again; each is used by one thread at a time.
protocol BlockPacker: AnyObject {
    /// The most bytes that a block of this size may take when it is packed.
    func bound(_ size: Int) -> Int

    /// Packs a whole block.
    ///
    /// - Returns: how many bytes of `packed` were written.
    /// - Throws: `Failure` of kind `software`.
    func pack(_ content: UnsafeRawBufferPointer, into packed: UnsafeMutableRawBufferPointer) throws(Failure) -> Int
}

/// Cuts what it gets into blocks of one size, has several threads pack them, and writes what they made in order.
///
/// What comes out depends on the bytes alone, neither on how they were cut into chunks nor on the number of threads.
final class BlockEncoder: ByteSink {
    private let sink: any ByteSink
    private let blockSize: Int
    /// The most blocks that are packed or wait for it at one time.
    private let depth: Int
    private let makePacker: () throws -> any BlockPacker
    private let queue: WorkQueue
    private var filling: PackedBlock
    /// The blocks that were handed out, the first one first.
    private var running: [PackedBlock] = []
    private var idle: [PackedBlock] = []
    private var isEmpty = true

    /// Makes an encoder that writes into `sink`.
    ///
    /// - Parameters:
    ///   - workers: how many threads pack; all cores up to four if not given.
    ///   - ahead: how many blocks may wait besides those that are packed, so that no thread waits for the sink.
    init(
        into sink: any ByteSink,
        blockSize: Int,
        workers: Int?,
        ahead: Int = 0,
        makePacker: @escaping () throws -> any BlockPacker
    ) throws {
        self.sink = sink
        self.blockSize = blockSize
        self.makePacker = makePacker
        let workers = max(1, workers ?? min(4, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        depth = workers + ahead
        queue = WorkQueue(width: workers)
        filling = PackedBlock(try makePacker(), size: blockSize)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(filling.fill(from: rest)))
            if filling.isFull {
                try startFilled()
                filling = try idle.popLast() ?? PackedBlock(try makePacker(), size: blockSize)
            }
        }
    }

    func finish() throws {
        // No content at all is a block too: an empty one.
        if isEmpty || !filling.isEmpty { try startFilled() }
        while !running.isEmpty { try writeFirst() }
        try sink.finish()
    }

    private func startFilled() throws {
        if running.count == depth { try writeFirst() }
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

/// The content of one block, on its way from the encoder to a worker and back.
///
/// Not checked for sendability: the encoder's thread fills it, hands it to one worker, and touches it again only when `done` was
/// signalled.
private final class PackedBlock: @unchecked Sendable {
    private let packer: any BlockPacker
    private let content: UnsafeMutableRawBufferPointer
    private let packed: UnsafeMutableRawBufferPointer
    private var filled = 0
    private var outcome = Result<Int, Failure>.success(0)
    private let done = DispatchSemaphore(value: 0)

    init(_ packer: any BlockPacker, size: Int) {
        self.packer = packer
        content = .allocate(byteCount: size, alignment: 64)
        packed = .allocate(byteCount: packer.bound(size), alignment: 64)
    }

    deinit {
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
        outcome = Result { () throws(Failure) -> Int in
            try packer.pack(UnsafeRawBufferPointer(rebasing: content[..<filled]), into: packed)
        }
        done.signal()
    }

    /// Waits for the worker, which does nothing but compute, and gives what it made.
    func withPacked(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        done.wait()
        let count = try outcome.get()
        try body(UnsafeRawBufferPointer(rebasing: packed[..<count]))
    }

    func empty() { filled = 0 }
}
