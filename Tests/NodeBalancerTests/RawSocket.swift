import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// A TCP socket as the kernel has it, with blocking calls that give up after a minute.
struct RawSocket: Sendable {
    let descriptor: CInt

    init(descriptor: CInt) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }

    /// Connects to a port of 127.0.0.1.
    init(connectingTo port: Int) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        self.init(descriptor: descriptor)
        let result = withLoopback(port) { Glibc.connect(descriptor, $0, $1) }
        guard result == 0 else {
            let code = errno
            Glibc.close(descriptor)
            throw Errno(rawValue: code)
        }
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, CInt(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Errno(rawValue: errno) }
            sent += count
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// What has come; empty at the end.
    func receive(upTo limit: Int = 65536) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw Errno(rawValue: errno) }
        return Array(buffer[..<count])
    }

    /// Exactly so many bytes; fewer when the other side ended before.
    func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let more = try receive(upTo: min(count - bytes.count, 1 << 18))
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    func receiveAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    /// The next line, without its end.
    func receiveLine() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let byte = try receive(upTo: 1)
            if byte.isEmpty || byte == [0x0a] { return String(decoding: bytes, as: UTF8.self) }
            bytes += byte
        }
    }

    func endOutput() { shutdown(descriptor, CInt(SHUT_WR)) }
    func close() { Glibc.close(descriptor) }
}

private func withLoopback(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
}

/// A server of the tests: every connection gets a thread.
final class Backend: Sendable {
    let port: Int
    private let listener: CInt
    private let accepted = Mutex<[CInt]>([])
    private let isStopped = Atomic<Bool>(false)
    private let pool = BlockingPool(width: 80)
    private let handler: @Sendable (RawSocket) throws -> Void

    /// Begins to listen, on a port of the kernel's choice unless one is named.
    init(port wanted: Int = 0, _ handler: @escaping @Sendable (RawSocket) throws -> Void) throws {
        self.handler = handler
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        var yes: CInt = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        let listener = listener
        guard withLoopback(wanted, { bind(listener, $0, $1) }) == 0, listen(listener, 128) == 0 else {
            throw Errno(rawValue: errno)
        }
        port = try boundPort(of: listener)
        Task { try await pool.run { self.acceptAll() } }
    }

    /// A backend that says its name and then echoes.
    convenience init(_ name: String, port: Int = 0) throws {
        try self.init(port: port) { socket in
            try socket.send("\(name)\n")
            while true {
                let bytes = try socket.receive()
                if bytes.isEmpty { return }
                try socket.send(bytes)
            }
        }
    }

    private func acceptAll() {
        while !isStopped.load(ordering: .acquiring) {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { return }
            accepted.withLock { $0.append(descriptor) }
            Task {
                try await pool.run {
                    let socket = RawSocket(descriptor: descriptor)
                    defer { self.end(descriptor) }
                    do {
                        try self.handler(socket)
                    } catch let error as Errno {
                        // The other side went away, as it may.
                        _ = error
                    }
                }
            }
        }
    }

    private func end(_ descriptor: CInt) {
        accepted.withLock { list in
            if let index = list.firstIndex(of: descriptor) { list.remove(at: index) }
            close(descriptor)
        }
    }

    /// How many connections there are.
    var connections: Int { accepted.withLock { $0.count } }

    /// Takes no new connections; those that are there stay, as they do when a machine loses its network.
    func stopListening() {
        guard !isStopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
        shutdown(listener, CInt(SHUT_RDWR))
        close(listener)
    }

    /// Ends everything.
    func stop() {
        stopListening()
        accepted.withLock { list in for descriptor in list { shutdown(descriptor, CInt(SHUT_RDWR)) } }
    }
}

/// Listens, but never takes a connection; when its queue is full, the kernel answers nobody any more, as if the machine were
/// gone.
final class SilentListener: Sendable {
    let port: Int
    private let listener: CInt
    private let waiting = Mutex<[CInt]>([])

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        self.listener = listener
        guard withLoopback(0, { bind(listener, $0, $1) }) == 0, listen(listener, 0) == 0 else {
            throw Errno(rawValue: errno)
        }
        port = try boundPort(of: listener)
    }

    /// Fills the queue.
    func fill() throws {
        for _ in 0..<4 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
            waiting.withLock { $0.append(descriptor) }
            let result = withLoopback(port) { Glibc.connect(descriptor, $0, $1) }
            guard result == 0 || errno == EINPROGRESS else { throw Errno(rawValue: errno) }
        }
    }

    deinit {
        close(listener)
        waiting.withLock { list in for descriptor in list { close(descriptor) } }
    }
}

private func boundPort(of descriptor: CInt) throws -> Int {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    guard result == 0 else { throw Errno(rawValue: errno) }
    return Int(UInt16(bigEndian: address.sin_port))
}
