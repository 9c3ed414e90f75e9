import Report

/// The digest of some bytes, valid from birth: the only thing a path of the store or a registry URL is made from.
///
/// Follows the OCI image specification 1.1, "Descriptors / Digests".
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// The registered algorithms.
    public enum Algorithm: String, Sendable, CaseIterable {
        /// SHA-256.
        case sha256
        /// SHA-512.
        case sha512

        /// How many hexadecimal characters a digest has.
        public var hexLength: Int {
            switch self {
            case .sha256: 64
            case .sha512: 128
            }
        }
    }

    /// The algorithm.
    public let algorithm: Algorithm
    /// The value in lower-case hexadecimal characters.
    public let hex: String

    /// Makes a digest from its parts; nil unless `hex` has exactly the algorithm's length in `[0-9a-f]`.
    public init?(algorithm: Algorithm, hex: String) {
        guard hex.utf8.count == algorithm.hexLength,
            hex.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        self.algorithm = algorithm
        self.hex = hex
    }

    /// Parses `sha256:…`.
    ///
    /// - Throws: `Failure` of kind `integrity` that quotes the text (shortened).
    public init(_ text: String) throws(Failure) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let algorithm = Algorithm(rawValue: String(parts[0])),
            let digest = Digest(algorithm: algorithm, hex: String(parts[1]))
        else {
            let shown = text.prefix(100).filter { $0.isASCII && !$0.isNewline }
            throw Failure(.integrity, "\"\(shown)\" is not a digest, expected sha256:… or sha512:… in lower-case hex")
        }
        self = digest
    }

    /// Makes a digest from the raw bytes that a hash function gave; nil when their number is not the algorithm's.
    public init?(algorithm: Algorithm, bytes: some Sequence<UInt8>) {
        let alphabet = Array("0123456789abcdef".utf8)
        var hex: [UInt8] = []
        hex.reserveCapacity(algorithm.hexLength)
        for byte in bytes {
            hex.append(alphabet[Int(byte >> 4)])
            hex.append(alphabet[Int(byte & 15)])
        }
        self.init(algorithm: algorithm, hex: String(decoding: hex, as: UTF8.self))
    }

    /// `sha256:…`.
    public var description: String { "\(algorithm.rawValue):\(hex)" }

    /// The first twelve characters of the value, for people.
    public var short: String { String(hex.prefix(12)) }

    /// Where a blob of this digest lies within an image layout: `blobs/sha256/…` (OCI image layout 1.1).
    public var layoutPath: String { "blobs/\(algorithm.rawValue)/\(hex)" }
}

extension Digest: Codable {
    /// Decodes the text form.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        try self.init(container.decode(String.self))
    }

    /// Encodes the text form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
