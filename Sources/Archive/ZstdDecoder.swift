import CZstd
import Report

/// Unpacks zstd (RFC 8878): all frames one after the other, as one stream; skippable frames are skipped.
public final class ZstdDecoder: ByteSource {
    private let source: any ByteSource
    private let limits: DecompressionLimits
    private let place: String
    private let context: OpaquePointer
    private let input: UnsafeMutableRawBufferPointer
    private var pending: ZSTD_inBuffer
    private var isInsideFrame = true
    private var isAtEnd = false
    private var packed: Int64 = 0
    private var unpacked: Int64 = 0

    /// Makes a decoder of `source`; `place` names it in messages.
    public init(_ source: any ByteSource, limits: DecompressionLimits = .standard, place: String) throws {
        self.source = source
        self.limits = limits
        self.place = place
        guard let context = ZSTD_createDCtx() else { throw Failure(.system, "zstd cannot start: no memory", at: place) }
        self.context = context
        input = .allocate(byteCount: 1 << 18, alignment: 64)
        pending = ZSTD_inBuffer(src: input.baseAddress, size: 0, pos: 0)
        let status = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, limits.maximumWindowLog)
        guard ZSTD_isError(status) == 0 else {
            throw Failure(.software, "zstd refuses its window limit: \(Self.reason(status))", at: place)
        }
    }

    deinit {
        ZSTD_freeDCtx(context)
        input.deallocate()
    }

    /// Unpacks the next bytes.
    ///
    /// - Throws: `Failure` of kind `integrity` when the stream is damaged, ends too early or goes beyond a limit.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !isAtEnd, !buffer.isEmpty else { return 0 }
        var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        while output.pos == 0 {
            if pending.pos == pending.size { try refill() }
            let hasInput = pending.pos < pending.size
            if !hasInput, !isInsideFrame {
                isAtEnd = true
                return 0
            }
            let left = ZSTD_decompressStream(context, &output, &pending)
            guard ZSTD_isError(left) == 0 else {
                throw Failure(.integrity, "is not valid zstd: \(Self.reason(left))", at: place)
            }
            isInsideFrame = left != 0
            // Without input the decoder can still give what it holds back; when it gives nothing, the rest is missing.
            guard hasInput || output.pos > 0 || !isInsideFrame else {
                throw Failure(.integrity, "ends in the middle of the zstd stream", at: place)
            }
        }
        unpacked += Int64(output.pos)
        try limits.check(packed: packed, unpacked: unpacked, place: place)
        return output.pos
    }

    private func refill() throws {
        let count = try source.read(into: input)
        pending.pos = 0
        pending.size = count
        packed += Int64(count)
    }

    private static func reason(_ status: Int) -> String { String(cString: ZSTD_getErrorName(status)) }
}
