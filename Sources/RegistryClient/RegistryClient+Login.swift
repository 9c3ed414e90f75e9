import FoundationEssentials
import NIOHTTP1
import OCI
import Report

/// What a registry said to a login.
public enum LoginCheck: Hashable, Sendable {
    /// It wants one, and takes this one.
    case accepted
    /// It answers everybody.
    case notNeeded
}

extension RegistryClient {
    /// Asks a registry whether it takes a login, by its base address `/v2/`. What the configuration knows of logins is left out.
    ///
    /// - Parameter host: as in image names, `CredentialStore.host` makes it.
    /// - Throws: `Failure` of kind `denied` when it does not, `unreachable`, `timeout` or `integrity`; no text holds the secret.
    public func checkLogin(_ credential: Credential, at host: String) async throws -> LoginCheck {
        var configuration = configuration
        configuration.credentials = CredentialFile()
        configuration.credentialHelpers = [RegistriesFile.authFiles]
        configuration.credentials.set(credential, for: host)
        let client = RegistryClient(configuration: configuration, progress: progress)
        do {
            let result = try await client.checkOwnLogin(at: host)
            await client.close()
            return result
        } catch {
            await client.close()
            guard let failure = error as? Failure, failure.kind == .denied else { throw error }
            var cause = failure
            cause.remedy = nil
            throw Failure(
                .denied,
                "the registry does not take this login",
                at: host,
                remedy:
                    "check the name and the password; many registries want an access token in place of the password",
                causes: [cause]
            )
        }
    }

    private func checkOwnLogin(at host: String) async throws -> LoginCheck {
        let endpoint = configuration.registryEndpoint(domain: host)
        let ask = Ask(.GET, .base, accepted: [200], errand: .logIn(host))
        _ = try await attempting { try await self.send(ask, to: endpoint) }
        return authenticator.known(for: endpoint) == nil ? .notNeeded : .accepted
    }
}
