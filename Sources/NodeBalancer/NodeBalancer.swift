import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage

/// The balancer of a node: through it kubelet, containerd and everybody else on a worker reach the API server and the
/// registry of the cluster, whichever of the masters live (docs/balancer.md).
public enum NodeBalancer {
    /// Balances as the file says, until it is cancelled.
    ///
    /// The file is looked at each second; a new content that is right is taken over, one that is wrong is told and ignored.
    ///
    /// - Parameters:
    ///   - file: the configuration (`BalancerConfiguration`).
    ///   - log: gets a line for each thing worth telling; it must not block.
    /// - Throws: `InvalidText` or `Failure` when the file cannot be used at the start, `CancellationError` when it was
    ///   cancelled, after the connections were ended.
    public static func run(configuration file: FilePath, log: @escaping @Sendable (String) -> Void) async throws {
        let bytes = try await BlockingPool.shared.run { try readFile(file, limit: sizeLimit) }
        let configuration = try BalancerConfiguration(
            parsing: String(decoding: bytes, as: UTF8.self), file: file.string)
        let engine = BalancerEngine(configuration, log: log)
        await engine.apply(configuration)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await follow(file, since: bytes, engine, log) }
                group.addTask { try await check(engine) }
                group.addTask { try await tellStatus(of: engine, log) }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            await engine.stop()
            throw error
        }
    }

    /// The most bytes of a configuration.
    private static let sizeLimit = 1 << 20

    private static func follow(
        _ file: FilePath, since first: Data, _ engine: BalancerEngine, _ log: @escaping @Sendable (String) -> Void
    ) async throws {
        var seen = first
        var trouble: String?
        while true {
            try await Task.sleep(for: .seconds(1))
            do {
                let bytes = try await BlockingPool.shared.run { try readFile(file, limit: sizeLimit) }
                if bytes != seen {
                    seen = bytes
                    let text = String(decoding: bytes, as: UTF8.self)
                    await engine.apply(try BalancerConfiguration(parsing: text, file: file.string))
                    log("took the changed \(file) over")
                }
                trouble = nil
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                let words = Failure.words(of: error)
                if words != trouble { log("the former configuration goes on: \(words)") }
                trouble = words
            }
            await engine.listenWhereNobodyDoes()
        }
    }

    private static func check(_ engine: BalancerEngine) async throws {
        while true {
            let pause = await engine.checkAll()
            try await Task.sleep(for: pause)
        }
    }

    /// Writes the status when it has changed, at most once a second.
    private static func tellStatus(
        of engine: BalancerEngine, _ log: @escaping @Sendable (String) -> Void
    ) async throws {
        var written: (FilePath, BalancerStatus)?
        var trouble: String?
        while true {
            if let file = await engine.statusFile {
                let status = await engine.status()
                if written?.0 != file || written?.1 != status {
                    do {
                        let json = try status.json()
                        try await BlockingPool.shared.run { try AtomicFile.write(json, to: file) }
                        written = (file, status)
                        trouble = nil
                    } catch is CancellationError {
                        throw CancellationError()
                    } catch {
                        let words = Failure.words(of: error)
                        if words != trouble { log("cannot tell the status: \(words)") }
                        trouble = words
                    }
                }
            }
            try await Task.sleep(for: .seconds(1))
        }
    }
}
