import FoundationEssentials
import Report
import SystemPackage

extension AgentHost {
    /// What the host is and has.
    public func facts() async throws -> HostFacts {
        let reply = try await ask(.facts, limit: Self.shortLimit, for: "the host's facts")
        guard case .facts(let facts) = reply else { throw unexpected(reply) }
        return facts
    }

    /// Writes a file atomically, making the folders above it.
    public func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws {
        guard bytes.count <= AgentProtocol.fileLimit else {
            throw Failure(.software, "a file of \(bytes.count) bytes is too large for the agent", at: "\(name):\(path)")
        }
        try await withLimit(Self.stallLimit, waitingFor: "\(path) to be written", at: name) {
            let request = AgentRequest.writeFile(path: path.string, size: bytes.count, permissions: permissions)
            try await self.perform(request) { stream, replies in
                let sender = self.upload(over: stream) { try await stream.send(bytes) }
                defer { sender.cancel() }
                let reply = try await replies.last()
                guard reply == .done else { throw self.unexpected(reply) }
            }
        }
    }

    /// Reads a file of at most `limit` bytes; nil when there is none.
    public func readFile(_ path: FilePath, limit: Int) async throws -> Data? {
        try await withLimit(Self.stallLimit, waitingFor: "\(path) to be read", at: name) {
            try await self.perform(.readFile(path: path.string, limit: limit)) { _, replies in
                var content = Data()
                var size: Int?
                while true {
                    switch try await replies.next() {
                    case .reply(.absent): return nil
                    case .reply(.content(let announced)): size = announced
                    case .data(let bytes):
                        content.append(bytes)
                        guard content.count <= limit else {
                            throw Failure(.integrity, "more than \(limit) bytes came", at: "\(self.name):\(path)")
                        }
                    case .reply(.done):
                        guard content.count == size else {
                            throw Failure(.integrity, "the file changed while it was read", at: "\(self.name):\(path)")
                        }
                        return content
                    case .reply(let other): throw self.unexpected(other)
                    case .errorData: break
                    }
                }
            }
        }
    }

    /// What lies at paths: regular files only, what is not there is left out.
    public func inspect(_ paths: [FilePath]) async throws -> [String: FileState] {
        let request = AgentRequest.inspect(paths: paths.map(\.string))
        let reply = try await ask(request, limit: Self.shortLimit, for: "the state of its files")
        guard case .files(let files) = reply else { throw unexpected(reply) }
        return files
    }

    /// Deletes a file or a folder with all that is in it; nothing there is fine.
    public func delete(_ path: FilePath) async throws {
        let reply = try await ask(.delete(path: path.string), limit: .seconds(600), for: "\(path) to be deleted")
        guard reply == .done else { throw unexpected(reply) }
    }
}
