import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOCore
import NIOHTTP1
import OCI
import Report

extension RegistryClient {
    /// Downloads a large blob, going on with what earlier attempts of this or another process left.
    func resume(
        _ descriptor: Descriptor,
        from endpoints: [Endpoint],
        subject: String,
        into store: ImageStore,
        progress: @escaping ByteProgress
    ) async throws {
        let errand = Errand.get(subject)
        let patience = configuration.limits.partialPatience
        guard let blob = try await store.partialBlob(descriptor, patience: patience) else {
            // Somebody else brought it.
            return progress(descriptor.size)
        }
        let download = Download(blob, progress: progress)
        countDownloads(1)
        defer { countDownloads(-1) }
        do {
            do {
                try await over(endpoints, subject: subject) { try await self.go(on: download, at: $0, errand: errand) }
            } catch let failure as Failure where download.wasMixed {
                // Bytes of several places or times did not fit together, and nobody knows whose are wrong: once more, all from one.
                download.isOfOnePlace = true
                self.progress.send(.warning("\(subject) is fetched once more from its beginning: \(failure.what)"))
                try await over(endpoints, subject: subject) { try await self.go(on: download, at: $0, errand: errand) }
            }
        } catch {
            download.show(0)
            blob.close()
            throw error
        }
    }

    /// One attempt at one place.
    private func go(on download: Download, at endpoint: Endpoint, errand: Errand) async throws {
        let blob = download.blob
        if download.isNew(endpoint) { try await BlockingPool.shared.run { try blob.restart() } }
        download.show(blob.count)
        if blob.count == blob.expected.size, blob.count > 0 {
            // The process ended between the last byte and the name.
            do {
                return try await BlockingPool.shared.run { try blob.commit() }
            } catch let failure as Failure where failure.kind == .integrity {
                download.show(0)
            }
        }
        let isMixed = blob.count > 0
        do {
            let usedRanges = try await fetchRest(of: download, at: endpoint, errand: errand)
            do {
                try await BlockingPool.shared.run { try blob.commit() }
            } catch {
                if usedRanges { download.noteMixed() }
                throw error
            }
        } catch {
            if isMixed, (error as? Failure)?.kind == .integrity {
                try await BlockingPool.shared.run { try blob.restart() }
                download.noteMixed()
            }
            download.show(blob.count)
            if var attempt = error as? AttemptError {
                attempt.gotOn = download.gotOn(by: configuration.limits.resumableSize)
                throw attempt
            }
            throw Self.placed(error, errand: errand, origin: endpoint.host)
        }
    }

    /// Fetches the bytes that are missing in one stream.
    ///
    /// - Parameter check: called after each large piece; what it throws ends the stream.
    func stream(
        _ download: Download,
        at endpoint: Endpoint,
        errand: Errand,
        check: @escaping @Sendable () throws -> Void
    ) async throws {
        let blob = download.blob
        let reply = try await ask(for: blob, at: endpoint, errand: errand)
        download.show(blob.count)
        try await receive(reply, count: blob.expected.size - blob.count, errand: errand) { buffer in
            try await BlockingPool.shared.run { try buffer.withUnsafeReadableBytes { try blob.write($0) } }
            try check()
        } came: {
            download.add($0)
        }
    }

    /// Asks for the bytes that are missing; when the registry gives others, the blob is begun anew.
    private func ask(for blob: PartialBlob, at endpoint: Endpoint, errand: Errand) async throws -> Reply {
        let path = "blobs/\(blob.expected.digest)"
        let (offset, size) = (blob.count, blob.expected.size)
        if offset > 0 {
            var ask = Ask(path: path, accepted: [200, 206, 416], errand: errand)
            ask.headers.add(name: "Range", value: "bytes=\(offset)-")
            let reply = try await send(ask, to: endpoint)
            if reply.status == 206, Self.range(reply.headers, is: offset...size - 1, of: size) { return reply }
            try await BlockingPool.shared.run { try blob.restart() }
            // The whole after all: a registry, or a cache before it, that knows no ranges.
            if reply.status == 200 { return reply }
        }
        return try await send(Ask(path: path, errand: errand), to: endpoint)
    }
}
