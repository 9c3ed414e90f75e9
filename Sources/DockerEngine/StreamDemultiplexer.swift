import NIOCore
import Report

/// Takes the two output streams of a process apart that the engine sends over one connection.
///
/// Follows the Docker Engine API, "Attach to a container / Stream format": before each piece stand eight bytes, the stream's
/// number, three zeros and the length as a big-endian number. Pieces are passed on as they come, never collected.
struct StreamDemultiplexer {
    /// A part of one of the streams.
    enum Piece: Equatable {
        case output(ByteBuffer)
        case error(ByteBuffer)
    }

    private var header = ByteBuffer()
    private var isError = false
    private var remaining = 0

    /// Whether the stream may end here.
    var isAtBoundary: Bool { remaining == 0 && header.readableBytes == 0 }

    /// Takes the next piece from the front of `bytes`; nil when they are used up.
    ///
    /// - Throws: `Failure` of kind `integrity` when a header is none.
    mutating func next(_ bytes: inout ByteBuffer) throws -> Piece? {
        while remaining == 0 {
            let lacking = 8 - header.readableBytes
            guard var part = bytes.readSlice(length: min(lacking, bytes.readableBytes)) else { return nil }
            header.writeBuffer(&part)
            guard header.readableBytes == 8 else { return nil }
            try readHeader()
        }
        guard bytes.readableBytes > 0, let piece = bytes.readSlice(length: min(remaining, bytes.readableBytes)) else {
            return nil
        }
        remaining -= piece.readableBytes
        return isError ? .error(piece) : .output(piece)
    }

    private mutating func readHeader() throws {
        guard let stream: UInt8 = header.readInteger(), let zeros = header.readBytes(length: 3),
            let length: UInt32 = header.readInteger(), (1...2).contains(stream), zeros == [0, 0, 0]
        else {
            throw Failure(.integrity, "the Docker engine's output stream has a header that is none")
        }
        header.clear()
        isError = stream == 2
        remaining = Int(length)
    }
}
