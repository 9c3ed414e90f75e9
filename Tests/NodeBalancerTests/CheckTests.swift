import LinuxSystem
import NIOCore
import NIOPosix
import NIOSSL
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NodeBalancer

/// A server over TLS that answers every request with a status.
private final class TLSServer: Sendable {
    let port: Int
    private let channel: any Channel
    private let box: StatusBox

    /// - Parameter status: what stands after `HTTP/1.1 `; empty for a server that never answers.
    init(_ certificate: TestCertificate, status: String) async throws {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate.certificate.string).map {
                .certificate($0)
            },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: certificate.key.string, format: .pem)))
        configuration.applicationProtocols = ["http/1.1"]
        let context = try NIOSSLContext(configuration: configuration)
        let box = StatusBox(status)
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLServerHandler(context: context), Answer(box),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        port = try #require(channel.localAddress?.port)
        self.box = box
    }

    func answer(_ status: String) { box.value.withLock { $0 = status } }
    func stop() async throws { try await channel.close().get() }

    final class StatusBox: Sendable {
        let value: Mutex<String>
        init(_ value: String) { self.value = Mutex(value) }
    }

    private final class Answer: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let box: StatusBox
        private var request = ""

        init(_ box: StatusBox) { self.box = box }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            request += String(buffer: unwrapInboundIn(data))
            guard request.hasSuffix("\r\n\r\n") else { return }
            let status =
                request.hasPrefix("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:") ? box.value.withLock { $0 } : "400"
            guard !status.isEmpty else { return }
            context.writeAndFlush(
                wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 \(status)\r\nContent-Length: 2\r\n\r\nok")), promise: nil)
        }
    }
}

@Suite("A check by TLS", .timeLimit(.minutes(5)))
struct TLSCheckTests {
    private func withServer(
        status: String = "200 OK", authority: (TestCertificate) -> FilePath = { $0.authority },
        _ body: (TLSServer, TestCertificate, Bench) async throws -> Void
    ) async throws {
        let scratch = try Scratch()
        let certificate = try await TestCertificate(in: scratch.path)
        let server = try await TLSServer(certificate, status: status)
        let file = authority(certificate).string
        try await Bench.run(backends: [server.port]) {
            $0.services[0].check = .init(path: "/readyz", authority: file)
            $0.intervals.timeout = .milliseconds(500)
        } _: { bench, _ in
            try await body(server, certificate, bench)
        }
        try await server.stop()
    }

    private func error(of bench: Bench) throws -> String? {
        try bench.status()?.services[0].backends[0].lastError
    }

    @Test("takes 200 and nothing else for well, and follows what the backend says")
    func status() async throws {
        try await withServer { server, _, bench in
            try await bench.until("it is up") { try bench.state(of: server.port) == .up }
            server.answer("500 Internal Server Error")
            try await bench.until("it is down") { try bench.state(of: server.port) == .down }
            try await bench.until("it says why") { try error(of: bench) == "GET /readyz: status 500" }
            server.answer("200")
            try await bench.until("it is up again") { try bench.state(of: server.port) == .up }
            server.answer("301 Moved Permanently")
            try await bench.until("it is down again") { try bench.state(of: server.port) == .down }
        }
    }

    @Test("that is not answered in time has failed")
    func silent() async throws {
        try await withServer(status: "") { server, _, bench in
            try await bench.until("it is down") { try bench.state(of: server.port) == .down }
            try await bench.until("it says why") { try error(of: bench) == "GET /readyz: no answer in time" }
        }
    }

    @Test("does not take a certificate of another authority")
    func wrongAuthority() async throws {
        let other = try Scratch()
        let stranger = try await TestCertificate(in: other.path)
        try await withServer { _ in
            stranger.authority
        } _: { server, _, bench in
            try await bench.until("it is down") { try bench.state(of: server.port) == .down }
            try await bench.until("it says why") {
                try error(of: bench)?.contains("CERTIFICATE_VERIFY_FAILED") == true
            }
        }
        _ = other.path
    }

    @Test("is one by TCP until the authority's file is there, which is told once")
    func noAuthorityYet() async throws {
        let folder = try Scratch()
        let later = folder.path.appending("ca.crt")
        try await withServer(status: "500") { _ in
            later
        } _: { server, certificate, bench in
            try await bench.until("it is up, by TCP") { try bench.state(of: server.port) == .up }
            // More rounds of checks say nothing more.
            try await Task.sleep(for: .milliseconds(300))
            #expect(bench.log.filter { $0.contains("by TCP connection only for now") }.count == 1)
            #expect(bench.log.contains { $0.contains("ca.crt: there is no such file") })
            try AtomicFile.write(Array(try certificate.authorityPEM().utf8), to: later)
            try await bench.until("it is down, by TLS") { try bench.state(of: server.port) == .down }
            #expect(bench.log.contains("web: checks are by TLS from now on"))
            server.answer("200 OK")
            try await bench.until("it is up, by TLS") { try bench.state(of: server.port) == .up }
            // A file that is there and wrong is told too.
            try AtomicFile.write(Array("no certificate".utf8), to: later)
            try await bench.until("it is told") { bench.log.contains { $0.contains("holds no certificate") } }
        }
        _ = folder.path
    }
}

@Suite("The first line of an answer")
struct StatusLineTests {
    @Test(
        "is read",
        arguments: [
            ("HTTP/1.1 200 OK\r\n", StatusLine.Reading.status(200)), ("HTTP/1.0 404\r\n", .status(404)),
            ("HTTP/1.1 200 \n", .status(200)), ("HTTP/1.1 200", .incomplete), ("", .incomplete), ("HT", .incomplete),
            ("HTTP/2 200\r\n", .wrong), ("HTTP/1.1 20\r\n", .wrong), ("HTTP/1.1 999 x\r\n", .wrong),
            ("HTTP/1.1 +20 x\r\n", .wrong), ("SSH-2.0", .wrong), ("\r\n", .wrong), ("HTTP/1.1\r\n", .wrong),
        ])
    func read(text: String, reading: StatusLine.Reading) {
        #expect(StatusLine.read(text.utf8) == reading)
    }

    @Test("never takes more than its limit, and never goes back on what it said", arguments: 0..<50 as Range<UInt64>)
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let pieces = ["HTTP/1.", "1", " ", "200", "\r\n", "\n", "x", "\u{0}", "é", "500"]
        for _ in 0..<200 {
            let text = (0..<Int.random(in: 0..<12, using: &generator)).map { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &generator)]
            }.joined()
            let bytes = Array(text.utf8)
            var last = StatusLine.Reading.incomplete
            for end in 0...bytes.count {
                let reading = StatusLine.read(bytes[..<end])
                if last != .incomplete { #expect(reading == last) }
                last = reading
            }
        }
        #expect(StatusLine.read(repeatElement(UInt8(0x48), count: StatusLine.limit + 1)) == .wrong)
    }
}
