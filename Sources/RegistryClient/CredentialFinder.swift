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
    func credential(for endpoint: Endpoint, errand: Errand) async throws -> Credential? {
        switch configuration.credentials.find(host: endpoint.name, repository: endpoint.repository) {
        case .nothing: return nil
        case .credential(let credential): return credential
        case .keptByHelper(let name, let server, let isListed):
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
                guard var failure = error.underlying as? Failure else { throw error.underlying }
                if isListed {
                    failure.what = "cannot \(errand): \(failure.what)"
                    throw failure
                }
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
}
