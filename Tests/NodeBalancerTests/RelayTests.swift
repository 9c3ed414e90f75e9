import Glibc
import LinuxSystem
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NodeBalancer

@Suite("A balanced connection", .timeLimit(.minutes(5)))
struct RelayTests {
    /// One check at the start, and no more: checks connect to the backends too.
    private static func quiet(_ configuration: inout BalancerConfiguration) {
        configuration.intervals.check = .seconds(3600)
    }

    /// Block number `number` of a stream: no two are the same.
    private static func block(_ number: Int) -> [UInt8] {
        var bytes = pattern
        for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * index)) }
        return bytes
    }

    private static let pattern: [UInt8] = {
        var generator = SeededGenerator(seed: 7)
        return (0..<(1 << 17)).flatMap { _ in withUnsafeBytes(of: generator.next()) { Array($0) } }
    }()

    private static func send(_ count: Int, to socket: RawSocket) throws {
        for number in 0..<count { try socket.send(block(number)) }
    }

    /// Receives blocks until the end.
    ///
    /// - Returns: how many came whole and right before the end; nil when something else came.
    private static func receive(from socket: RawSocket) throws -> Int? {
        var number = 0
        while true {
            let bytes = try socket.receive(exactly: pattern.count)
            if bytes.isEmpty { return number }
            guard bytes == block(number) else { return nil }
            number += 1
        }
    }

    @Test("brings 100 MiB whole in both directions at once")
    func big() async throws {
        // The check connects to the backend too, and its connection may end last.
        let atBackend = Mutex<[Int?]>([])
        let backend = try Backend { socket in
            // What comes is read on this thread, what goes is sent on another. The client ends its output when it has
            // everything, so the sender has ended when the receiver has.
            Task { try await blocking { try Self.send(100, to: socket) } }
            let count = try Self.receive(from: socket)
            atBackend.withLock { $0.append(count) }
        }
        try await Bench.run(backends: [backend.port], change: Self.quiet) { bench, port in
            let socket = try await blocking { try RawSocket(connectingTo: port) }
            async let sent: Void = blocking { try Self.send(100, to: socket) }
            async let received = blocking { () -> Int? in
                var number = 0
                while number < 100 {
                    guard try socket.receive(exactly: Self.pattern.count) == Self.block(number) else { return nil }
                    number += 1
                }
                return number
            }
            #expect(try await received == 100)
            try await sent
            socket.endOutput()
            try await bench.until("the backend has everything") { atBackend.withLock { $0.contains(100) } }
            socket.close()
        }
        backend.stop()
    }

    @Test("passes the end of the client's output on, and the answer to it back")
    func clientEnds() async throws {
        let backend = try Backend { socket in
            let all = try socket.receiveAll()
            try socket.send("\(all.count) bytes")
        }
        try await Bench.run(backends: [backend.port], change: Self.quiet) { _, port in
            let answer = try await blocking {
                let socket = try RawSocket(connectingTo: port)
                defer { socket.close() }
                try socket.send([UInt8](repeating: 1, count: 300_000))
                socket.endOutput()
                return try socket.receiveAll()
            }
            #expect(String(decoding: answer, as: UTF8.self) == "300000 bytes")
        }
        backend.stop()
    }

    @Test("passes the end of the backend's output on, while the client goes on sending")
    func backendEnds() async throws {
        // The check connects to the backend too, and its connection may end last.
        let received = Mutex<[Int]>([])
        let backend = try Backend { socket in
            try socket.send("bye")
            socket.endOutput()
            let count = try socket.receiveAll().count
            received.withLock { $0.append(count) }
        }
        try await Bench.run(backends: [backend.port], change: Self.quiet) { bench, port in
            try await blocking {
                let socket = try RawSocket(connectingTo: port)
                defer { socket.close() }
                #expect(try socket.receiveAll() == Array("bye".utf8))
                for _ in 0..<10 { try socket.send([UInt8](repeating: 2, count: 100_000)) }
                socket.endOutput()
            }
            try await bench.until("the backend saw the end, and all before it") {
                received.withLock { $0.contains(1_000_000) }
            }
        }
        backend.stop()
    }

    @Test("loses nothing when both sides have ended and the reader is slow")
    func slowAfterEnd() async throws {
        let isSent = Atomic<Bool>(false)
        let backend = try Backend { socket in
            _ = try socket.receiveAll()
            try Self.send(40, to: socket)
            isSent.store(true, ordering: .releasing)
        }
        try await Bench.run(backends: [backend.port], change: Self.quiet) { bench, port in
            let socket = try await blocking { try RawSocket(connectingTo: port) }
            socket.endOutput()
            // Take enough for the backend to get rid of the rest and go away, then the rest.
            let first = try await blocking {
                var number = 0
                while !isSent.load(ordering: .acquiring) {
                    guard try socket.receive(exactly: Self.pattern.count) == Self.block(number) else { return -1 }
                    number += 1
                    if number == 40 { return number }
                }
                return number
            }
            try await bench.until("the backend has gone") { backend.connections == 0 }
            let all = try await blocking { () -> Int in
                var number = first
                while true {
                    let bytes = try socket.receive(exactly: Self.pattern.count)
                    if bytes.isEmpty { return number }
                    guard bytes == Self.block(number) else { return -1 }
                    number += 1
                }
            }
            #expect(all == 40)
            socket.close()
        }
        backend.stop()
    }

    @Test("keeps what the client sent, and that it ended, while a backend is still looked for")
    func early() async throws {
        let backend = try Backend { socket in try socket.send(try socket.receiveAll()) }
        let silent = try SilentListener()
        try await Bench.run(backends: [silent.port, backend.port]) { configuration in
            Self.quiet(&configuration)
            configuration.intervals.connect = .milliseconds(400)
        } _: { bench, port in
            try await bench.until("both are up") {
                try [silent.port, backend.port].allSatisfy { try bench.state(of: $0) == .up }
            }
            try silent.fill()
            // One of them gets to the silent one first.
            for _ in 0..<2 {
                let answer = try await blocking {
                    let socket = try RawSocket(connectingTo: port)
                    defer { socket.close() }
                    try socket.send("early")
                    socket.endOutput()
                    return try socket.receiveAll()
                }
                #expect(String(decoding: answer, as: UTF8.self) == "early")
            }
            try await bench.until("the status tells of the attempt") {
                try bench.status()?.services[0].backends[0].lastError == "connect: no answer in time"
            }
        }
        backend.stop()
    }

    @Test("holds the sender up when the reader is slow")
    func backPressure() async throws {
        let blocks = Atomic<Int>(0)
        let backend = try Backend { socket in
            for number in 0..<300 {
                try socket.send(Self.block(number))
                blocks.store(number + 1, ordering: .releasing)
            }
        }
        try await Bench.run(backends: [backend.port], change: Self.quiet) { _, port in
            let socket = try await blocking { try RawSocket(connectingTo: port) }
            // Until the sender stands still: what it got rid of is in the kernel's buffers and here.
            var (before, unchanged) = (-1, 0)
            while unchanged < 20 {
                try await Task.sleep(for: .milliseconds(100))
                let now = blocks.load(ordering: .acquiring)
                unchanged = now == before ? unchanged + 1 : 0
                before = now
                if now == 300 { break }
            }
            #expect(before < 100, "\(before) MiB went somewhere")
            #expect(try await blocking { try Self.receive(from: socket) } == 300)
            socket.close()
        }
        backend.stop()
    }

    @Test("is reset at the client when the backend breaks off in the middle")
    func reset() async throws {
        let backend = try Backend { socket in
            try socket.send("half an ans")
            _ = try socket.receive()
            var now = linger(l_onoff: 1, l_linger: 0)
            setsockopt(socket.descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        }
        try await Bench.run(backends: [backend.port], change: Self.quiet) { _, port in
            await #expect(throws: Errno.connectionReset) {
                try await blocking {
                    let socket = try RawSocket(connectingTo: port)
                    defer { socket.close() }
                    _ = try socket.receive(exactly: 11)
                    try socket.send("go")
                    _ = try socket.receiveAll()
                }
            }
        }
        backend.stop()
    }
}
