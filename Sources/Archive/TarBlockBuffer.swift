/// A buffer over a source from which headers and content are taken in place.
final class TarBlockBuffer {
    private let source: any ByteSource
    private let storage: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var sourceEnded = false

    init(_ source: any ByteSource, size: Int = 1 << 18) {
        self.source = source
        storage = .allocate(byteCount: size, alignment: 64)
    }

    deinit { storage.deallocate() }

    /// What was read and not yet consumed; valid until the next call of `fill`.
    var available: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[start..<end]) }

    /// Reads until at least `count` bytes (which must fit the buffer) are available, or the source ends.
    func fill(atLeast count: Int) throws {
        guard end - start < count else { return }
        if start > 0 {
            storage.copyMemory(from: available)
            end -= start
            start = 0
        }
        while end < count, !sourceEnded {
            let read = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: storage[end...]))
            if read == 0 { sourceEnded = true }
            end += read
        }
    }

    func consume(_ count: Int) { start += count }

    /// Goes over bytes, without reading them where the source can.
    ///
    /// - Returns: how many were skipped; 0 only at the end of the source or when the source has to be read.
    func skip(_ count: Int64) throws -> Int64 {
        let buffered = min(count, Int64(end - start))
        start += Int(buffered)
        guard buffered < count, let source = source as? any SkippableSource else { return buffered }
        return buffered + (try source.skip(count - buffered))
    }
}
