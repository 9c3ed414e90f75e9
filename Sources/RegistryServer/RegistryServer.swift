import FoundationEssentials
import Glibc
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Report
import Synchronization
import SystemPackage

/// A registry (OCI distribution specification 1.1) over HTTP/1.1, read-only unless the configuration says otherwise.
public enum RegistryServer {
    /// Begins to listen and to serve.
    ///
    /// - Parameters:
    ///   - log: gets a line for each request; it must not block.
    ///   - report: is told what went wrong besides requests: a file of accounts that changed and cannot be read.
    /// - Throws: `Failure` of kind `conflict` when the port is taken, `invalidInput` for a bad certificate, key or file of
    ///   accounts, `usage` for rules that contradict each other.
    public static func start(
        _ configuration: RegistryServerConfiguration,
        content: any RegistryContent,
        log: (@Sendable (AccessLine) -> Void)? = nil,
        report: @escaping @Sendable (Failure) -> Void = { _ in }
    ) async throws -> RunningRegistry {
        let tls = try await tlsContext(configuration.tls)
        let writable = configuration.isWritable ? content as? any WritableRegistryContent : nil
        guard !configuration.isWritable || writable != nil else {
            throw Failure(.usage, "what is served cannot take pushes")
        }
        guard !configuration.isDeletable || configuration.isWritable else {
            throw Failure(.usage, "deletion is for a registry that takes pushes")
        }
        let connections = Connections()
        let responder = Responder(
            content: content,
            writable: writable,
            isDeletable: configuration.isDeletable,
            access: try await AccessControl(
                configuration.access, isWritable: configuration.isWritable, report: report),
            uploads: UploadSessions(
                maximum: configuration.maximumUploads, idleLimit: configuration.uploadIdleLimit),
            metrics: Metrics(),
            connections: connections,
            blobLimit: configuration.blobLimit,
            chunkSize: Int(configuration.chunkSize)
        )
        let host = configuration.host
        let place = "\(host.contains(":") ? "[\(host)]" : host):\(configuration.port)"
        let server: NIOAsyncChannel<HTTPConnection.Wrapped, Never>
        do {
            server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(ChannelOptions.backlog, value: 256)
                .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
                // Larger readings than NIO's own, for pushes; the size follows what comes.
                .childChannelOption(
                    ChannelOptions.recvAllocator,
                    value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 2048, maximum: 256 << 10)
                )
                .bind(host: configuration.host, port: configuration.port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                        return try HTTPConnection.wrap(channel, configuration)
                    }
                }
        } catch {
            let isTaken = (error as? IOError)?.errnoCode == EADDRINUSE
            throw Failure(
                isTaken ? .conflict : .system,
                isTaken ? "another program listens there" : "cannot listen",
                at: place,
                remedy: isTaken ? "stop it, or choose another port" : nil,
                causes: [error]
            )
        }
        guard let address = server.channel.localAddress, let port = address.port else {
            throw Failure(.system, "the socket has no address", at: place)
        }
        let serving = Task {
            await withTaskGroup { group in
                group.addTask { await tidy(responder, every: configuration.uploadIdleLimit / 4) }
                await serve(server, configuration, responder, log)
                group.cancelAll()
            }
            await responder.uploads.endAll()
        }
        return RunningRegistry(
            host: configuration.host,
            port: port,
            isTLS: tls != nil,
            listener: server.channel,
            connections: connections,
            serving: serving
        )
    }

    private static func tlsContext(_ files: RegistryServerConfiguration.TLS?) async throws -> NIOSSLContext? {
        guard let files else { return nil }
        return try await BlockingPool.shared.run {
            do {
                let chain = try NIOSSLCertificate.fromPEMFile(files.certificate.string)
                let key = try NIOSSLPrivateKey(file: files.key.string, format: .pem)
                var configuration = TLSConfiguration.makeServerConfiguration(
                    certificateChain: chain.map { .certificate($0) },
                    privateKey: .privateKey(key)
                )
                configuration.minimumTLSVersion = .tlsv12
                configuration.applicationProtocols = ["http/1.1"]
                return try NIOSSLContext(configuration: configuration)
            } catch {
                throw Failure(
                    .invalidInput,
                    "cannot use the certificate with the key \(files.key.string)",
                    at: files.certificate.string,
                    remedy: "both must be PEM files, and the key must be the certificate's",
                    causes: [error]
                )
            }
        }
    }

    /// Drops what was begun and never finished, again and again until it is cancelled.
    private static func tidy(_ responder: Responder, every interval: Duration) async {
        let interval = min(max(interval, .milliseconds(50)), .seconds(30))
        while true {
            do {
                try await Task.sleep(for: interval)
            } catch {
                // Cancelled: the server has ended.
                return
            }
            await responder.uploads.tidy()
            await responder.writable?.tidy()
        }
    }

    private static func serve(
        _ server: NIOAsyncChannel<HTTPConnection.Wrapped, Never>,
        _ configuration: RegistryServerConfiguration,
        _ responder: Responder,
        _ log: (@Sendable (AccessLine) -> Void)?
    ) async {
        let connections = responder.connections
        await withTaskGroup(of: Void.self) { group in
            do {
                try await server.executeThenClose { inbound in
                    // Those that live, and those that have ended and are still in the group.
                    var children = 0
                    for try await connection in inbound {
                        if children >= configuration.maximumConnections {
                            if connections.count >= configuration.maximumConnections { connections.closeLongestIdle() }
                            // At once when one has ended already; until one ends, new clients wait in the kernel's queue.
                            await group.next()
                            children -= 1
                        }
                        children += 1
                        connections.add(connection.channel)
                        group.addTask {
                            await HTTPConnection(
                                connection: connection,
                                configuration: configuration,
                                responder: responder,
                                connections: connections,
                                metrics: responder.metrics,
                                log: log
                            ).run()
                        }
                    }
                }
            } catch {
                // The listener is gone: what runs, runs to its end.
                return
            }
        }
    }
}

/// A registry that serves.
public final class RunningRegistry: Sendable {
    /// The host as it was configured.
    public let host: String
    /// The port that it listens on.
    public let port: Int
    /// Whether it speaks https.
    public let isTLS: Bool
    private let listener: any Channel
    private let connections: Connections
    private let serving: Task<Void, Never>

    init(
        host: String,
        port: Int,
        isTLS: Bool,
        listener: any Channel,
        connections: Connections,
        serving: Task<Void, Never>
    ) {
        self.host = host
        self.port = port
        self.isTLS = isTLS
        self.listener = listener
        self.connections = connections
        self.serving = serving
    }

    /// `https://HOST:PORT`.
    public var url: String { "\(isTLS ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// Accepts nobody any more, lets the replies that are under way finish, and returns when all connections are closed.
    ///
    /// - Parameter limit: after it the connections that are left are cut.
    public func stop(limit: Duration = .seconds(30)) async {
        listener.close(promise: nil)
        connections.beginToStop()
        let connections = connections
        let cutter = Task {
            try await Task.sleep(for: limit)
            connections.closeAll()
        }
        await serving.value
        cutter.cancel()
    }

    /// Returns when the server has ended.
    public func wait() async {
        await serving.value
    }
}
