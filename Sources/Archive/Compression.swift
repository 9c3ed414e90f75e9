import Report

/// How the bytes of a layer or an archive are packed.
public enum Compression: String, Sendable, CaseIterable {
    /// As they are.
    case none
    /// RFC 1952, one or more members.
    case gzip
    /// RFC 8878, one or more frames.
    case zstd

    /// The compression that a layer's media type names, OCI's or Docker's; nil when it names none that is known.
    public init?(mediaType: String) {
        if mediaType.hasSuffix("+zstd") || mediaType.hasSuffix(".tar.zstd") {
            self = .zstd
        } else if mediaType.hasSuffix("+gzip") || mediaType.hasSuffix(".tar.gzip") {
            self = .gzip
        } else if mediaType.hasSuffix(".tar") {
            self = .none
        } else {
            return nil
        }
    }

    /// The compression that a stream's first bytes show; four bytes are enough.
    public static func detect(_ start: some Collection<UInt8>) -> Compression {
        if start.starts(with: [0x1f, 0x8b]) { return .gzip }
        if start.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) { return .zstd }
        // A skippable frame (RFC 8878, 3.1.2) may stand before the first real one.
        if start.count >= 4, start.dropFirst().starts(with: [0x2a, 0x4d, 0x18]),
            start.first.map({ $0 & 0xf0 == 0x50 }) ?? false
        {
            return .zstd
        }
        return .none
    }

    /// Unpacks a source that is packed in this way.
    ///
    /// - Parameters:
    ///   - limits: what a stranger may make us unpack.
    ///   - place: what is read, for messages.
    /// - Returns: a source of the unpacked bytes; reading throws `Failure` of kind `integrity` when they are damaged.
    public func decoder(
        _ source: any ByteSource,
        limits: DecompressionLimits = .standard,
        place: String
    ) throws -> any ByteSource {
        switch self {
        case .none: source
        case .gzip: try GzipDecoder(source, limits: limits, place: place)
        case .zstd: try ZstdDecoder(source, limits: limits, place: place)
        }
    }

    /// Unpacks a source as its first bytes tell.
    ///
    /// - Returns: what was found, and a source of the unpacked bytes.
    public static func decoderByContent(
        _ source: any ByteSource,
        limits: DecompressionLimits = .standard,
        place: String
    ) throws -> (compression: Compression, source: any ByteSource) {
        var start = [UInt8](repeating: 0, count: 4)
        let count = try start.withUnsafeMutableBytes { try source.readFully(into: $0) }
        start.removeLast(start.count - count)
        let compression = detect(start)
        return (compression, try compression.decoder(PrefixedSource(start, source), limits: limits, place: place))
    }

    /// Makes a sink that packs what it gets, with this project's fixed settings, into `sink`.
    ///
    /// The same bytes give the same packed bytes, however they are cut into chunks and whatever machine it runs on.
    public func encoder(into sink: any ByteSink) throws -> any ByteSink {
        switch self {
        case .none: sink
        case .gzip: try GzipEncoder(into: sink)
        case .zstd: try ZstdEncoder(into: sink)
        }
    }
}

/// What a packed stream may unpack to, so that a small download cannot fill the disk.
public struct DecompressionLimits: Sendable {
    /// The most unpacked bytes.
    public var maximumSize: Int64
    /// The most unpacked bytes for each packed byte, looked at once `ratioAppliesAbove` bytes are unpacked.
    public var maximumRatio: Int64
    /// Up to here any ratio is fine: a file of zeros shrinks to almost nothing and is harmless while it is small.
    public var ratioAppliesAbove: Int64
    /// The largest zstd window as a power of two: the memory that unpacking takes.
    public var maximumWindowLog: Int32

    /// Makes limits; the defaults are those of `standard`.
    public init(
        maximumSize: Int64 = 64 << 30,
        maximumRatio: Int64 = 1000,
        ratioAppliesAbove: Int64 = 1 << 30,
        maximumWindowLog: Int32 = 27
    ) {
        self.maximumSize = maximumSize
        self.maximumRatio = maximumRatio
        self.ratioAppliesAbove = ratioAppliesAbove
        self.maximumWindowLog = maximumWindowLog
    }

    /// 64 GiB in all, a thousandfold beyond the first GiB, 128 MiB of window.
    public static let standard = DecompressionLimits()

    func check(packed: Int64, unpacked: Int64, place: String) throws {
        guard unpacked <= maximumSize else {
            throw Failure(.integrity, "unpacks to more than the allowed \(maximumSize) bytes", at: place)
        }
        guard unpacked <= ratioAppliesAbove || unpacked / max(packed, 1) <= maximumRatio else {
            throw Failure(
                .integrity,
                "unpacks to more than \(maximumRatio) times its size: this looks like a decompression bomb",
                at: place
            )
        }
    }
}

/// A source that gives bytes that were read already before those of the source they came from.
final class PrefixedSource: ByteSource {
    private var prefix: MemorySource?
    private let source: any ByteSource

    init(_ prefix: [UInt8], _ source: any ByteSource) {
        self.prefix = MemorySource(prefix)
        self.source = source
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if let prefix {
            let count = prefix.read(into: buffer)
            if count > 0 { return count }
            self.prefix = nil
        }
        return try source.read(into: buffer)
    }
}
