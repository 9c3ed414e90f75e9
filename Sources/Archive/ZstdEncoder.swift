import CZstd
import Report

/// Packs into zstd frames of 8 MiB of content each, with checksums: the same bytes in give the same bytes out.
///
/// Frames are independent, so several threads pack at once, and the result does not depend on how many. Every decoder reads frames one
/// after the other as one stream (RFC 8878, 3.1). libzstd's own threads are not used: the static library of Debian lacks them, and
/// their output differs from that without.
public final class ZstdEncoder: ByteSink {
    private let blocks: BlockEncoder

    /// Makes an encoder that writes into `sink`.
    ///
    /// - Parameter workers: how many threads pack; each takes some 20 MiB. All cores up to four if not given.
    public init(into sink: any ByteSink, level: Int32 = 3, workers: Int? = nil) throws {
        blocks = try BlockEncoder(into: sink, blockSize: 8 << 20, workers: workers) { try ZstdPacker(level: level) }
    }

    /// Packs the bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws { try blocks.write(bytes) }

    /// Packs what is left and finishes the sink.
    public func finish() throws { try blocks.finish() }
}

/// Makes zstd frames.
private final class ZstdPacker: BlockPacker {
    private let context: OpaquePointer

    init(level: Int32) throws(Failure) {
        guard let context = ZSTD_createCCtx() else { throw Failure(.system, "zstd cannot start: no memory") }
        self.context = context
        for (parameter, value) in [(ZSTD_c_compressionLevel, level), (ZSTD_c_checksumFlag, 1)] {
            try Self.check(ZSTD_CCtx_setParameter(context, parameter, value))
        }
    }

    deinit { ZSTD_freeCCtx(context) }

    func bound(_ size: Int) -> Int { ZSTD_compressBound(size) }

    func pack(_ content: UnsafeRawBufferPointer, into packed: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
        let count = ZSTD_compress2(context, packed.baseAddress, packed.count, content.baseAddress, content.count)
        try Self.check(count)
        return count
    }

    private static func check(_ status: Int) throws(Failure) {
        guard ZSTD_isError(status) == 0 else {
            throw Failure(.software, "zstd cannot pack: \(String(cString: ZSTD_getErrorName(status)))")
        }
    }
}
