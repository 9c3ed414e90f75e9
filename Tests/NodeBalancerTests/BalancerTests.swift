import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import NodeBalancer

@Suite("A node's balancer", .timeLimit(.minutes(5)))
struct BalancerTests {
    @Test("spreads connections evenly")
    func spreads() async throws {
        let backends = try ["a", "b", "c"].map { try Backend($0) }
        try await Bench.run(backends: backends.map(\.port)) {
            $0.intervals.check = .seconds(3600)
        } _: { bench, port in
            // Those that are known to be well come before those that nobody knows of.
            try await bench.until("all are up") {
                try backends.allSatisfy { try bench.state(of: $0.port) == .up }
            }
            var counts: [String: Int] = [:]
            var sockets: [RawSocket] = []
            for _ in 0..<30 {
                let (socket, name) = try await connectAndRead(port)
                sockets.append(socket)
                counts[name ?? "none", default: 0] += 1
            }
            #expect(counts == ["a": 10, "b": 10, "c": 10])
            // A connection that ends makes room where it was.
            for socket in sockets { socket.close() }
        }
        for backend in backends { backend.stop() }
    }

    @Test("tries the next backend before the client sees an error")
    func failsOverAtConnect() async throws {
        let backends = try ["living", "a", "b"].map { try Backend($0) }
        try await Bench.run(backends: backends.map(\.port)) {
            $0.intervals.check = .seconds(3600)
        } _: { bench, port in
            try await bench.until("all are up") {
                try backends.allSatisfy { try bench.state(of: $0.port) == .up }
            }
            // The next check is an hour away: for all that is known they are well.
            backends[1].stop()
            backends[2].stop()
            for _ in 0..<12 {
                let (socket, name) = try await connectAndRead(port)
                #expect(name == "living")
                socket.close()
            }
            try await bench.until("the status says why") {
                try bench.status()?.services[0].backends[1].lastError == "connect: Connection refused"
            }
            #expect(try bench.state(of: backends[1].port) == .up)
        }
        backends[0].stop()
    }

    @Test("closes the connections of a backend that is found dead, and leads to it again when it is back")
    func dead() async throws {
        let (first, second) = (try Backend("first"), try Backend("second"))
        try await Bench.run(backends: [first.port, second.port]) { bench, port in
            var sockets: [String: RawSocket] = [:]
            while sockets.count < 2 {
                let (socket, name) = try await connectAndRead(port)
                sockets[try #require(name)] = socket
            }
            // Its connections stay as they are: nothing but the checks tells that it is dead.
            first.stopListening()
            try await waitForEnd(try #require(sockets["first"]))
            try await bench.until("the status says so") { try bench.state(of: first.port) == .down }
            #expect(bench.log.contains { $0.contains("127.0.0.1:\(first.port) is down (connect: Connection refused)") })
            let other = try #require(sockets["second"])
            try await blocking { try other.send("still here\n") }
            #expect(try await blocking { try other.receiveLine() } == "still here")
            for _ in 0..<5 {
                let (socket, name) = try await connectAndRead(port)
                #expect(name == "second")
                socket.close()
            }
            first.stop()
            let again = try Backend("first again", port: first.port)
            try await bench.until("it is up again") { try bench.state(of: first.port) == .up }
            var names: Set<String?> = []
            while !names.contains("first again") {
                let (socket, name) = try await connectAndRead(port)
                names.insert(name)
                // Kept open, so that the other one has fewer.
                sockets[UUID().uuidString] = socket
                try #require(sockets.count < 40)
            }
            for socket in sockets.values { socket.close() }
            again.stop()
        }
        second.stop()
    }

    @Test("cuts the client when nobody takes the connection")
    func noBackend() async throws {
        try await Bench.run(backends: [try freePort(), try freePort()]) { bench, port in
            try await bench.until("both are down") {
                try bench.status()?.services[0].backends.allSatisfy { $0.state == .down } == true
            }
            let (socket, name) = try await connectAndRead(port)
            #expect(name == nil)
            socket.close()
        }
    }

    @Test("tries backends that its checks call dead when there is no other")
    func allDown() async throws {
        // It takes connections, but speaks no TLS.
        let backend = try Backend("plain")
        try await Bench.run(backends: [backend.port]) {
            $0.services[0].check = .init(path: "/", authority: nil)
        } _: {
            bench, port in
            try await bench.until("it is down") { try bench.state(of: backend.port) == .down }
            let (socket, name) = try await connectAndRead(port)
            #expect(name == "plain")
            // Not the transition, but being down: its connections stay.
            try await Task.sleep(for: .milliseconds(300))
            try await blocking { try socket.send("x\n") }
            #expect(try await blocking { try socket.receiveLine() } == "x")
            socket.close()
        }
        backend.stop()
    }

    @Test("refuses clients above its limit, and takes new ones when there is room")
    func limit() async throws {
        let backend = try Backend("a")
        try await Bench.run(backends: [backend.port]) {
            $0.limits.connections = 2
        } _: { bench, port in
            let (one, first) = try await connectAndRead(port)
            let (two, second) = try await connectAndRead(port)
            #expect([first, second] == ["a", "a"])
            let (three, third) = try await connectAndRead(port)
            #expect(third == nil)
            #expect(bench.log.contains { $0.contains("2 clients are connected") })
            three.close()
            // The file tells what was up to a second ago: of an earlier moment with one connection too.
            try await bench.until("both are told of") { try bench.status()?.services[0].connections == 2 }
            one.close()
            try await bench.until("the first has gone") { try bench.status()?.services[0].connections == 1 }
            let (four, fourth) = try await connectAndRead(port)
            #expect(fourth == "a")
            #expect(try bench.status()?.services[0].refused == 1)
            two.close()
            four.close()
        }
        backend.stop()
    }

    @Test("waits for its address when another program has it")
    func taken() async throws {
        let (backend, holder) = (try Backend("a"), try Backend("holder"))
        let endpoint = try Bench.endpoint(holder.port)
        try await Bench.run(backends: [backend.port]) {
            $0.services[0].listen = endpoint
        } _: { bench, _ in
            #expect(
                bench.log.contains { $0.contains("cannot listen on 127.0.0.1:\(holder.port): Address already in use") })
            holder.stop()
            try await bench.until("it listens") { bench.log.contains("web: listens on 127.0.0.1:\(holder.port)") }
            let (socket, name) = try await connectAndRead(holder.port)
            #expect(name == "a")
            socket.close()
            try await bench.until("the status says so") { try bench.status()?.services[0].trouble == nil }
        }
        backend.stop()
    }

    @Test("ends when it is cancelled, and its connections with it")
    func cancelled() async throws {
        let backend = try Backend("a")
        var (left, listen): (RawSocket?, Int) = (nil, 0)
        try await Bench.run(backends: [backend.port]) { _, port in
            (left, _) = try await connectAndRead(port)
            listen = port
        }
        let socket = try #require(left)
        try await waitForEnd(socket)
        socket.close()
        let port = listen
        #expect(throws: Errno.connectionRefused) { try RawSocket(connectingTo: port) }
        backend.stop()
    }

    @Test("does not begin with a file that is wrong or not there")
    func wrongFile() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("lb.json")
        await #expect(throws: Failure.self) { try await NodeBalancer.run(configuration: file) { _ in } }
        try AtomicFile.write(Array("{}".utf8), to: file)
        await #expect(throws: InvalidText.self) { try await NodeBalancer.run(configuration: file) { _ in } }
    }
}

@Suite("A balancer's changed configuration", .timeLimit(.minutes(5)))
struct ReloadTests {
    @Test("ends the connections of backends that are taken out, and leaves the others alone")
    func backends() async throws {
        let backends = try ["a", "b", "c"].map { try Backend($0) }
        try await Bench.run(backends: [backends[0].port, backends[1].port]) { bench, port in
            var sockets: [String: RawSocket] = [:]
            while sockets.count < 2 {
                let (socket, name) = try await connectAndRead(port)
                sockets[try #require(name)] = socket
            }
            try bench.write(
                Bench.configuration(port: port, backends: [backends[1].port, backends[2].port], folder: bench.folder))
            try await waitForEnd(try #require(sockets["a"]))
            let kept = try #require(sockets["b"])
            try await blocking { try kept.send("kept\n") }
            #expect(try await blocking { try kept.receiveLine() } == "kept")
            try await bench.until("the new one is known to be up") { try bench.state(of: backends[2].port) == .up }
            let (new, name) = try await connectAndRead(port)
            #expect(name == "c")
            for socket in [new] + sockets.values { socket.close() }
        }
        for backend in backends { backend.stop() }
    }

    @Test("that is wrong is told with its place, and the former one goes on")
    func wrong() async throws {
        let backend = try Backend("a")
        try await Bench.run(backends: [backend.port]) { bench, port in
            try AtomicFile.write(Array("{\"services\": [],\n \"colour\": 1}".utf8), to: bench.file)
            try await bench.until("it is told") {
                bench.log.contains { $0.contains("balancer.json:2:2: unknown field \"colour\"") }
            }
            let (socket, name) = try await connectAndRead(port)
            #expect(name == "a")
            socket.close()
        }
        backend.stop()
    }

    @Test("moves a service to another address without touching its connections, and ends services that are gone")
    func services() async throws {
        let backend = try Backend("a")
        let other = try freePort()
        try await Bench.run(backends: [backend.port]) { bench, port in
            let (socket, _) = try await connectAndRead(port)
            try bench.write(Bench.configuration(port: other, backends: [backend.port], folder: bench.folder))
            try await bench.until("it listens there") { bench.log.contains("web: listens on 127.0.0.1:\(other)") }
            try await bench.untilRefused(port)
            try await blocking { try socket.send("kept\n") }
            #expect(try await blocking { try socket.receiveLine() } == "kept")
            var renamed = try Bench.configuration(port: port, backends: [backend.port], folder: bench.folder)
            renamed.services[0].name = "other"
            try bench.write(renamed)
            try await waitForEnd(socket)
            try await bench.until("the new one listens") { bench.log.contains("other: listens on 127.0.0.1:\(port)") }
            try await bench.untilRefused(other)
            socket.close()
        }
        backend.stop()
    }
}
