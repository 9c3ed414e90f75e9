import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A client that sends just the bytes that a test wants, slowly if need be.
final class RawClient: Sendable {
    /// Not the shared one: a client that waits there for the server would keep the server from answering.
    private static let pool = BlockingPool(width: 256)

    private let descriptor: Int32

    /// A reply as it came.
    struct Reply: Sendable {
        var status: Int
        var headers: [String: String]
        var body: Data
    }

    /// Connects to a port of 127.0.0.1.
    ///
    /// - Parameter receiveBuffer: how much the kernel takes for us unread, in bytes; nil leaves it to the kernel.
    init(port: Int, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        // No test waits for ever.
        var limit = timeval(tv_sec: 240, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let descriptor = descriptor
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let error = Errno(rawValue: errno)
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    func send(_ text: String) async throws { try await send(Data(text.utf8)) }

    func send(_ bytes: Data) async throws {
        let bytes = Array(bytes)
        let descriptor = descriptor
        try await Self.pool.run {
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { throw Errno(rawValue: errno) }
                sent += count
            }
        }
    }

    /// Reads at most `count` bytes; empty at the end of the connection, also when it was cut.
    func read(_ count: Int) async throws -> Data {
        let descriptor = descriptor
        return try await Self.pool.run {
            var buffer = [UInt8](repeating: 0, count: count)
            let got = recv(descriptor, &buffer, count, 0)
            if got < 0, errno == ECONNRESET { return Data() }
            guard got >= 0 else { throw Errno(rawValue: errno) }
            return Data(buffer.prefix(got))
        }
    }

    /// Reads to the end of the connection.
    func readAll() async throws -> Data {
        var all = Data()
        while true {
            let part = try await read(1 << 16)
            guard !part.isEmpty else { return all }
            all += part
        }
    }

    /// Reads one reply.
    ///
    /// - Parameter hasBody: false for the reply to a HEAD.
    func reply(hasBody: Bool = true) async throws -> Reply {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            let byte = try await read(1)
            guard !byte.isEmpty else {
                throw Failure(.integrity, "the connection ended after: \(String(decoding: head, as: UTF8.self))")
            }
            head += byte
        }
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            headers[pair[0].lowercased()] = pair.count > 1 ? String(pair[1].drop { $0 == " " }) : ""
        }
        let words = lines.first?.split(separator: " ") ?? []
        var body = Data()
        let length = hasBody ? Int(headers["content-length"] ?? "0") ?? 0 : 0
        while body.count < length {
            let part = try await read(min(1 << 16, length - body.count))
            guard !part.isEmpty else {
                throw Failure(.integrity, "the body was cut off after \(body.count) of \(length) bytes")
            }
            body += part
        }
        return Reply(status: words.count > 1 ? Int(words[1]) ?? 0 : 0, headers: headers, body: body)
    }

    /// Sends a request and reads its reply.
    func get(_ target: String, method: String = "GET", _ headers: [String: String] = [:]) async throws -> Reply {
        let lines = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
        try await send("\(method) \(target) HTTP/1.1\r\nHost: x\r\n\(lines)\r\n")
        return try await reply(hasBody: method != "HEAD")
    }

    /// Sends a request with a body of known length and reads its reply.
    func request(_ method: String, _ target: String, _ headers: [String: String] = [:], body: Data = Data())
        async throws -> Reply
    {
        let lines = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
        try await send(
            Data("\(method) \(target) HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.count)\r\n\(lines)\r\n".utf8) + body
        )
        return try await reply(hasBody: method != "HEAD")
    }
}
