import FoundationEssentials
import Report
import Synchronization

/// Finds out who we are at a place: in the files with the credentials, or by asking the helpers that they name, each once.
final class CredentialFinder: Sendable {
    private struct State {
        var warned: Set<String> = []
        var helped: [String: Credential?] = [:]
    }

    private let configuration: RegistryConfiguration
    private let progress: any ProgressSink
    private let state = Mutex(State())
    private let helped = SharedWork<String, Credential?>()

    init(configuration: RegistryConfiguration, progress: any ProgressSink) {
        self.configuration = configuration
        self.progress = progress
    }

    /// Who we are at a place; what a helper said is remembered.
    ///
    /// - Throws: `Failure` when nobody knows, and a helper that should have it does not work.
    func credential(for endpoint: Endpoint, errand: Errand) async throws -> Credential? {
        var broken: Failure?
        for source in configuration.credentialHelpers {
            let findings =
                source == RegistriesFile.authFiles
                ? configuration.credentials.findings(host: endpoint.name, repository: endpoint.repository)
                : [.keptByHelper(name: source, server: endpoint.name, isListed: false)]
            for finding in findings {
                switch finding {
                case .nothing: continue
                case .credential(let credential): return credential
                case .keptByHelper(let name, let server, let isListed):
                    do {
                        if let found = try await ask(name, server, isListed: isListed) { return found }
                    } catch var failure as Failure {
                        failure.what = "cannot \(errand): \(failure.what)"
                        broken = broken ?? failure
                    }
                }
            }
        }
        if let broken { throw broken }
        return nil
    }

    /// Asks a helper; one that only may know, and does not work, is warned of once and gone on without.
    private func ask(_ name: String, _ server: String, isListed: Bool) async throws -> Credential? {
        let helper = CredentialHelper(
            name: name, environment: configuration.helperEnvironment, limit: configuration.limits.helper)
        let key = "\(name) \(server)"
        do {
            return try await helped.value(for: key) {
                if let known = self.state.withLock({ $0.helped[key] }) { return known }
                let found = try await helper.get(server)
                self.state.withLock { $0.helped[key] = .some(found) }
                return found
            }.value
        } catch let error as SharedWorkError {
            guard let failure = error.underlying as? Failure else { throw error.underlying }
            if isListed { throw failure }
            // docker asks its store about every registry; most need no login, so a broken store is no reason to stop.
            // Nor is it asked again: it may have taken its whole time.
            let isFirst = state.withLock { state in
                state.helped[key] = .some(nil)
                return state.warned.insert(key).inserted
            }
            if isFirst { progress.send(.warning("going on without a login: \(failure)")) }
            return nil
        }
    }
}
