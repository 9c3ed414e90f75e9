import NIOHTTP1
import OCI
import Report

/// Finds the reply to a request.
struct Responder: Sendable {
    let content: any RegistryContent
    /// The same content, when it takes pushes.
    let writable: (any WritableRegistryContent)?
    let isDeletable: Bool
    let access: AccessControl
    let uploads: UploadSessions
    let metrics: Metrics
    let connections: Connections
    let blobLimit: Int64
    /// How much of a body is written in one go, in bytes.
    let chunkSize: Int

    /// Never throws: what goes wrong is a reply too.
    func reply(to head: HTTPRequestHead, _ body: RequestBody) async -> Reply {
        do {
            let route = Route(head.uri)
            let isReading = head.method == .GET || head.method == .HEAD
            if case .health = route, isReading { return .text("ok\n", type: "text/plain") }
            guard let account = try await access.account(of: head.headers) else { throw RegistryError.unauthorized }
            if isReading {
                do {
                    return try await read(route, head, account)
                } catch let failure as Failure where failure.kind == .notFound && account.isConfined {
                    // The text may name repositories that the account does not see.
                    throw RegistryError.noRepository
                }
            }
            guard let writable else { throw RegistryError.readOnly }
            return try await write(route, head, body, account, to: writable)
        } catch let error as RegistryError {
            return Reply(error)
        } catch let failure as Failure where failure.kind == .notFound {
            return Reply(.init(.notFound, .nameUnknown, failure.what))
        } catch is BodyCutOff {
            return Reply(.init(.requestTimeout, .sizeInvalid, "the body ended before its end, or came too slowly"))
        } catch {
            // What is wrong with our disk is nobody's business out there.
            var reply = Reply(.init(.internalServerError, .unknown, "the registry failed, its log says why"))
            reply.problem = String(describing: error)
            return reply
        }
    }

    // MARK: - Writing

    private func write(
        _ route: Route, _ head: HTTPRequestHead, _ body: RequestBody, _ account: Account,
        to content: any WritableRegistryContent
    ) async throws -> Reply {
        let push = Push(responder: self, content: content, account: account, head: head, body: body)
        do {
            switch (head.method, route) {
            case (_, .refused(let error)): throw error
            case (.POST, .uploads(let repository, let start)): return try await push.begin(repository, start)
            case (.PATCH, .upload(let repository, let id, _)): return try await push.append(repository, id)
            case (.PUT, .upload(let repository, let id, let digest)):
                guard let digest else { throw RegistryError.badDigest }
                return try await push.finish(repository, id, digest)
            case (.DELETE, .upload(let repository, let id, _)): return try await push.cancel(repository, id)
            case (.PUT, .manifest(let repository, let name)): return try await push.put(repository, name)
            case (.DELETE, .manifest(let repository, let name)): return try await push.delete(repository, name)
            case (.DELETE, .blob(let repository, let digest)): return try await push.delete(repository, blob: digest)
            default: return Reply(.wrongMethod, allowed: methods(of: route))
            }
        } catch let failure as Failure {
            guard failure.kind == .conflict else { throw failure }
            throw RegistryError(
                .serviceUnavailable, .unknown, "the store is being cleaned up, try again in a moment")
        }
    }

    /// The full name of the repository that a push goes to.
    func pushName(_ repository: Route.Repository, of content: any WritableRegistryContent) throws -> String {
        do {
            return try content.pushName(repository: repository.path, namespace: repository.namespace)
        } catch let failure as Failure where failure.kind == .invalidInput {
            // With its registry before it, a name may be too long.
            throw RegistryError(.badRequest, .nameInvalid, failure.what)
        }
    }

    private func methods(of route: Route) -> String {
        switch route {
        case .manifest: "GET, HEAD, PUT, DELETE"
        case .blob: "GET, HEAD, DELETE"
        case .uploads: "POST"
        case .upload: "GET, HEAD, PATCH, PUT, DELETE"
        default: "GET, HEAD"
        }
    }
}
