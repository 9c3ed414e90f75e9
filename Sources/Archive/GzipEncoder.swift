import CDeflate
import Report

/// Packs into gzip members of 1 MiB of content each, without names or times: the same bytes in give the same bytes out.
///
/// Members are independent, so several threads pack at once, and the result does not depend on how many. Every decoder reads members
/// one after the other as one stream (RFC 1952, 2.2). libdeflate packs whole blocks only, and in return takes a third of zlib's time.
public final class GzipEncoder: ByteSink {
    private let blocks: BlockEncoder

    /// Makes an encoder that writes into `sink`.
    ///
    /// - Parameters:
    ///   - level: 1 is fast, 12 packs best.
    ///   - workers: how many threads pack; each takes some 6 MiB. All cores up to four if not given.
    public init(into sink: any ByteSink, level: Int32 = 6, workers: Int? = nil) throws {
        // Packed blocks are small and many: with two more of them no thread waits while one is written.
        blocks = try BlockEncoder(into: sink, blockSize: 1 << 20, workers: workers, ahead: 2) {
            try GzipPacker(level: level)
        }
    }

    /// Packs the bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws { try blocks.write(bytes) }

    /// Packs what is left and finishes the sink.
    public func finish() throws { try blocks.finish() }
}

/// Makes gzip members.
private final class GzipPacker: BlockPacker {
    private let compressor: OpaquePointer

    init(level: Int32) throws(Failure) {
        guard let compressor = libdeflate_alloc_compressor(level) else {
            throw Failure(.system, "libdeflate cannot start: no memory, or no level \(level)")
        }
        self.compressor = compressor
    }

    deinit { libdeflate_free_compressor(compressor) }

    func bound(_ size: Int) -> Int { libdeflate_gzip_compress_bound(compressor, size) }

    func pack(_ content: UnsafeRawBufferPointer, into packed: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
        let count = libdeflate_gzip_compress(
            compressor, content.baseAddress, content.count, packed.baseAddress, packed.count)
        guard count > 0 else { throw Failure(.software, "libdeflate cannot pack") }
        return count
    }
}
