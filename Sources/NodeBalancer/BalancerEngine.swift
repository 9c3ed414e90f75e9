import FoundationEssentials
import LinuxSystem
import NIOCore
import NIOPosix
import NIOSSL
import Report
import SystemPackage

/// The services of a configuration at work, with their listeners and checks.
actor BalancerEngine {
    private struct Running {
        let service: BalancedService
        var listener: (any Channel)?
        var listen: BalancerEndpoint
        /// Why there is no listener.
        var trouble: String?
        /// What keeps the checks from being what the configuration asks for; told once.
        var checkTrouble: String?
        /// What checks by TLS need, and the authorities that it was made of.
        var tls: (authorities: Data?, context: NIOSSLContext)?
    }

    private var configuration: BalancerConfiguration
    private var services: [String: Running] = [:]
    private let total = ConnectionCount()
    private let log: @Sendable (String) -> Void

    init(_ configuration: BalancerConfiguration, log: @escaping @Sendable (String) -> Void) {
        self.configuration = configuration
        self.log = log
    }

    /// Brings what runs in line with a configuration.
    func apply(_ configuration: BalancerConfiguration) async {
        self.configuration = configuration
        let wanted = Dictionary(uniqueKeysWithValues: configuration.services.map { ($0.name, $0) })
        for (name, running) in services {
            if let service = wanted[name] {
                guard service.listen != running.listen else { continue }
                await close(running.listener)
                services[name]?.listener = nil
                services[name]?.listen = service.listen
            } else {
                await close(running.listener)
                running.service.cutAll()
                services[name] = nil
                log("\(name): ended")
            }
        }
        for service in configuration.services {
            let settings = BalancedService.Settings(
                service: service, intervals: configuration.intervals, limits: configuration.limits)
            if let running = services[service.name] {
                running.service.update(settings)
                services[service.name]?.checkTrouble = nil
                services[service.name]?.tls = nil
            } else {
                services[service.name] = Running(
                    service: BalancedService(settings, total: total, log: log), listen: service.listen)
            }
        }
        await listenWhereNobodyDoes()
    }

    /// Opens the listeners that are not there: new ones, and those whose address was taken or not there yet.
    func listenWhereNobodyDoes() async {
        for (name, running) in services where running.listener == nil {
            do {
                services[name]?.listener = try await Self.listen(running.listen, for: running.service)
                services[name]?.trouble = nil
                log("\(name): listens on \(running.listen)")
            } catch {
                let trouble = "cannot listen on \(running.listen): \(words(of: error))"
                if running.trouble != trouble { log("\(name): \(trouble); it is tried again each second") }
                services[name]?.trouble = trouble
            }
        }
    }

    private static func listen(_ endpoint: BalancerEndpoint, for service: BalancedService) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.backlog, value: 1024)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .balancerChildSocketOptions()
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        RelayEnd { end, channel in service.serve(end, channel) })
                }
            }
            .bind(to: endpoint.address)
            .get()
    }

    private func close(_ listener: (any Channel)?) async {
        guard let listener else { return }
        do {
            try await listener.close().get()
        } catch {
            // It was closed already, which is what was wanted.
            log("closing a listener: \(words(of: error))")
        }
    }

    // MARK: - Checks

    /// Checks every backend of every service once, all at the same time.
    ///
    /// - Returns: how long to wait before the next round.
    func checkAll() async -> Duration {
        await withTaskGroup(of: Void.self) { group in
            for running in services.values {
                let settings = running.service.settings
                let context = await context(for: settings.service)
                for endpoint in settings.service.backends {
                    group.addTask {
                        let limit = settings.intervals.timeout
                        let trouble =
                            if let context, let path = settings.service.check.path {
                                await HealthCheck.https(endpoint, path: path, context: context, limit: limit)
                            } else {
                                await HealthCheck.tcp(endpoint, limit: limit)
                            }
                        running.service.record(endpoint, trouble: trouble)
                    }
                }
            }
        }
        return configuration.intervals.check
    }

    /// What checks of a service by TLS need; nil when they are by TCP, or have to be for now: a node that has not joined yet
    /// lacks the authority's certificate, and must reach the masters all the same.
    private func context(for service: BalancerConfiguration.Service) async -> NIOSSLContext? {
        guard service.check.kind == .https else { return nil }
        do {
            let context = try await tlsContext(for: service)
            if services[service.name]?.checkTrouble != nil {
                services[service.name]?.checkTrouble = nil
                log("\(service.name): checks are by TLS from now on")
            }
            return context
        } catch {
            let trouble = Failure.words(of: error)
            if services[service.name]?.checkTrouble != trouble {
                services[service.name]?.checkTrouble = trouble
                log("\(service.name): checks are by TCP connection only for now: \(trouble)")
            }
            return nil
        }
    }

    /// The authorities' file is read each time, for it may come, or be replaced, at any moment.
    private func tlsContext(for service: BalancerConfiguration.Service) async throws -> NIOSSLContext {
        var authorities: Data?
        if let path = service.check.authority {
            authorities = try await BlockingPool.shared.run { try readFile(FilePath(path), limit: 1 << 20) }
        }
        if let tls = services[service.name]?.tls, tls.authorities == authorities { return tls.context }
        let context = try await HealthCheck.context(authorities: authorities, at: service.check.authority ?? "")
        services[service.name]?.tls = (authorities, context)
        return context
    }

    // MARK: - Status and end

    /// Where the status is to be written, if anywhere.
    var statusFile: FilePath? { configuration.status.map { FilePath($0) } }

    /// How everything is.
    func status() -> BalancerStatus {
        BalancerStatus(
            services: configuration.services.compactMap { service in
                services[service.name].map { $0.service.status(trouble: $0.trouble) }
            })
    }

    /// Takes no more clients, gives those that are there a moment to end, and cuts the rest. Works in a cancelled task too.
    func stop() async {
        for running in services.values { await close(running.listener) }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let end = ContinuousClock.now + configuration.intervals.drain
        func wait(until end: ContinuousClock.Instant) async {
            while services.values.contains(where: { $0.service.connections > 0 }), ContinuousClock.now < end {
                do {
                    // Task.sleep would return at once: the task is cancelled.
                    try await loop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
                } catch {
                    log("waiting for connections to end: \(words(of: error))")
                    return
                }
            }
        }
        await wait(until: end)
        for running in services.values { running.service.cutAll() }
        await wait(until: .now + .seconds(1))
        services = [:]
    }
}
