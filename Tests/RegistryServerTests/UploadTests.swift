import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

@Suite struct UploadTests {
    @Test func aBlobInOneRequest() async throws {
        try await pushing { pusher in
            let bytes = noise((3 << 20) + 5, seed: 1)
            let digest = Digest.of(bytes)
            let client = try pusher.client()
            let created = try await client.request(
                "POST", "/v2/team/app/blobs/uploads/?digest=\(digest)", body: bytes)
            #expect(created.status == 201)
            #expect(created.headers["docker-content-digest"] == "\(digest)")
            let location = try #require(created.headers["location"])
            #expect(try await client.get(location).body == bytes)
            #expect(try await client.get(location, method: "HEAD").headers["content-length"] == "\(bytes.count)")
            #expect(try await client.get(location, ["Range": "bytes=5-9"]).body == bytes[5..<10])
            // In a session and with SHA-512, also when the session did not know of it.
            for query in ["", "?digest-algorithm=sha512"] {
                let other = bytes + Data(query.utf8)
                let address = try await pusher.begin("team/app", query: query)
                let digest = Digest.of(other, .sha512)
                let done = try await client.request("PUT", "\(address)?digest=\(digest)", body: other)
                #expect(done.status == 201)
                #expect(try await client.get("/v2/team/app/blobs/\(digest)").body == other)
                #expect(try await client.request("GET", address).status == 404)
            }
            let empty = Digest.of(Data())
            #expect(
                try await client.request("POST", "/v2/team/app/blobs/uploads/?digest=\(empty)").status == 201)
        }
    }

    @Test func aBlobInChunks() async throws {
        try await pushing { pusher in
            let bytes = noise(3_000_000, seed: 2)
            let digest = Digest.of(bytes)
            let client = try pusher.client()
            let address = try await pusher.begin("team/app")
            let fresh = try await client.get(address)
            #expect(fresh.status == 204)
            #expect(fresh.headers["range"] == "0-0")
            let first = try await client.request(
                "PATCH", address, ["Content-Range": "0-999999"], body: bytes[..<1_000_000])
            #expect(first.status == 202)
            #expect(first.headers["range"] == "0-999999")
            #expect(first.headers["location"] == address)
            // Again, too far, and before: nothing of it is taken.
            for (range, part) in [
                ("0-999999", bytes[..<1_000_000]), ("2000000-2999999", bytes[2_000_000...]),
                ("999999-1999998", bytes[999_999..<1_999_999]),
            ] {
                let reply = try await client.request("PATCH", address, ["Content-Range": range], body: part)
                #expect(reply.status == 416)
                #expect(reply.headers["range"] == "0-999999")
                #expect(reply.headers["location"] == address)
            }
            for (range, count) in [("1000000-1000009", 11), ("1000000-1000009", 9), ("x", 10), ("1000009-1000000", 10)]
            {
                let reply = try await client.request(
                    "PATCH", address, ["Content-Range": range], body: Data(count: count))
                #expect(reply.status == 400, "\(range)")
            }
            #expect(try await client.get(address).headers["range"] == "0-999999")
            // Without a range, in HTTP's own chunks.
            try await client.send("PATCH \(address) HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in stride(from: 1_000_000, to: 2_000_000, by: 250_000) {
                try await client.send(Data("\(String(250_000, radix: 16))\r\n".utf8))
                try await client.send(bytes[start..<(start + 250_000)] + Data("\r\n".utf8))
            }
            try await client.send("0\r\n\r\n")
            #expect(try await client.reply().status == 202)
            #expect(try await client.get(address, method: "HEAD").headers["range"] == "0-1999999")
            let outOfOrder = try await client.request(
                "PUT", "\(address)?digest=\(digest)", ["Content-Range": "0-999999"], body: bytes[2_000_000...])
            #expect(outOfOrder.status == 416)
            let done = try await client.request(
                "PUT", "\(address)?digest=\(digest)", ["Content-Range": "2000000-2999999"], body: bytes[2_000_000...])
            #expect(done.status == 201)
            #expect(try await client.get("/v2/team/app/blobs/\(digest)").body == bytes)
        }
    }

    @Test func aWrongDigestLeavesNothing() async throws {
        try await pushing { pusher in
            let wrong = Digest.of(Data("other".utf8))
            let client = try pusher.client()
            let whole = try await client.request(
                "POST", "/v2/app/blobs/uploads/?digest=\(wrong)", body: Data("bytes".utf8))
            #expect(whole.status == 400)
            #expect(code(whole) == "DIGEST_INVALID")
            for algorithm in Digest.Algorithm.allCases {
                let address = try await pusher.begin("app")
                let digest = Digest.of(Data("other".utf8), algorithm)
                let reply = try await client.request("PUT", "\(address)?digest=\(digest)", body: Data("bytes".utf8))
                #expect(code(reply) == "DIGEST_INVALID")
                #expect(try await client.request("PUT", "\(address)?digest=\(digest)").status == 404)
            }
            let address = try await pusher.begin("app")
            #expect(try await client.request("PUT", address, body: Data("bytes".utf8)).status == 400)
            #expect(try await client.request("PUT", "\(address)?digest=sha256:1").status == 400)
            #expect(try await client.request("DELETE", address).status == 204)
            #expect(try await client.request("PATCH", address, body: Data("bytes".utf8)).status == 404)
            for folder in ["blobs/sha256", "blobs/sha512", "ingest"] {
                #expect(try Folder.names(in: pusher.store.root.appending(folder)) == [])
            }
        }
    }

    @Test func whatCameBeforeAClientLeftIsKept() async throws {
        try await pushing { pusher in
            let bytes = noise(4 << 20, seed: 3)
            let digest = Digest.of(bytes)
            let address = try await pusher.begin("app")
            do {
                let client = try pusher.client()
                try await client.send(
                    "PATCH \(address) HTTP/1.1\r\nHost: x\r\nContent-Length: \(bytes.count)\r\n\r\n")
                try await client.send(bytes[..<(3 << 20)])
            }
            let client = try pusher.client()
            var size = 0
            let end = ContinuousClock.now + .seconds(240)
            while ContinuousClock.now < end {
                let status = try await client.get(address)
                size = Int(status.headers["range"]?.split(separator: "-").last ?? "") ?? 0
                // 409 while the server has not seen the end of the connection yet.
                if status.status == 204, size > 0 { break }
                try await Task.sleep(for: .milliseconds(20))
            }
            // Every byte, also those of a piece that was not full and of one that was being written.
            #expect(size + 1 == 3 << 20)
            let rest = bytes[(size + 1)...]
            #expect(rest.count < bytes.count)
            let done = try await client.request(
                "PUT", "\(address)?digest=\(digest)", ["Content-Range": "\(size + 1)-\(bytes.count - 1)"], body: rest)
            #expect(done.status == 201)
        }
    }

    @Test func oneRequestAtATime() async throws {
        try await pushing { pusher in
            let address = try await pusher.begin("app")
            let slow = try pusher.client()
            try await slow.send("PATCH \(address) HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
            let client = try pusher.client()
            var status = 0
            let end = ContinuousClock.now + .seconds(240)
            while status != 409, ContinuousClock.now < end {
                status = try await client.get(address).status
            }
            #expect(status == 409)
            #expect(try await client.request("PATCH", address, body: Data("x".utf8)).status == 409)
            #expect(try await client.request("DELETE", address).status == 409)
            try await slow.send("56789")
            #expect(try await slow.reply().headers["range"] == "0-9")
        }
    }

    @Test func aClientThatIsToldToGoOn() async throws {
        try await pushing { pusher in
            let bytes = noise(100_000, seed: 4)
            let address = try await pusher.begin("app")
            let client = try pusher.client()
            try await client.send(
                "PUT \(address)?digest=\(Digest.of(bytes)) HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    + "Content-Length: \(bytes.count)\r\n\r\n")
            #expect(try await client.reply().status == 100)
            try await client.send(bytes)
            #expect(try await client.reply().status == 201)
            // One that is refused is not told to send.
            try await client.send(
                "PUT \(address)?digest=\(Digest.of(bytes)) HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    + "Content-Length: \(bytes.count)\r\n\r\n")
            let refused = try await client.reply()
            #expect(refused.status == 404)
            #expect(refused.headers["connection"] == "close")
        }
    }

    // MARK: - Limits

    @Test func uploadsAreBounded() async throws {
        try await pushing({
            $0.maximumUploads = 2
            $0.blobLimit = 1000
        }) { pusher in
            let first = try await pusher.begin("app")
            _ = try await pusher.begin("app")
            let third = try await pusher.request("POST", "/v2/app/blobs/uploads/")
            #expect(third.status == 429)
            #expect(third.headers["retry-after"] != nil)
            #expect(try await pusher.request("DELETE", first).status == 204)
            let address = try await pusher.begin("app")
            // Announced, and not announced.
            let client = try pusher.client()
            #expect(try await client.request("PATCH", address, body: Data(count: 600)).status == 202)
            let announced = try await client.request("PATCH", address, body: Data(count: 401))
            #expect(announced.status == 413)
            #expect(try await client.get(address).headers["range"] == "0-599")
            try await client.send("PATCH \(address) HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            try await client.send(Data("191\r\n".utf8) + Data(count: 401) + Data("\r\n0\r\n\r\n".utf8))
            #expect(try await client.reply().status == 413)
            #expect(try await client.get(address).status == 404)
        }
    }

    @Test func anUploadThatWaitsTooLongIsDropped() async throws {
        try await pushing({ $0.uploadIdleLimit = .milliseconds(200) }) { pusher in
            let address = try await pusher.begin("app")
            let end = ContinuousClock.now + .seconds(240)
            while try !Folder.names(in: pusher.store.root.appending("ingest")).isEmpty, ContinuousClock.now < end {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await pusher.request("GET", address).status == 404)
            #expect(try Folder.names(in: pusher.store.root.appending("ingest")).isEmpty)
        }
    }

    @Test func aBodyThatDripsIsCut() async throws {
        try await pushing({ $0.receiveLimit = .milliseconds(300) }) { pusher in
            let address = try await pusher.begin("app")
            let client = try pusher.client()
            try await client.send("PATCH \(address) HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            let drip = Task {
                while true {
                    try await client.send("x")
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            #expect(try await client.readAll().isEmpty)
            drip.cancel()
            _ = await drip.result
        }
    }

    @Test func aBlobWithoutAManifestKeepsTheStoreOnlyForAWhile() async throws {
        try await pushing(pendingLimit: .milliseconds(300), { $0.uploadIdleLimit = .milliseconds(200) }) { pusher in
            let blob = try await pusher.blob(Data("pending".utf8), to: "app")
            #expect(try await pusher.store.collectGarbage(limit: .seconds(30)).blobs == 1)
            #expect(try await pusher.request("HEAD", "/v2/app/blobs/\(blob.digest)").status == 404)
        }
    }

    @Test func nothingIsCollectedInTheMidstOfAPush() async throws {
        try await pushing { pusher in
            try await pusher.blob(Data("layer".utf8), to: "app")
            let error = await #expect(throws: Failure.self) {
                try await pusher.store.collectGarbage(limit: .milliseconds(100))
            }
            #expect(error?.kind == .conflict)
            // With the manifest the push is over.
            try await pusher.image("layer", to: "app", as: "v1")
            #expect(try await pusher.store.collectGarbage(limit: .milliseconds(100)).blobs == 0)
            // While it is being cleaned, a client is asked to come again.
            let lock = try await BlockingPool.shared.run { [root = pusher.store.root] in
                try FileLock(root.appending("blobs.lock"), .exclusive, limit: .seconds(60), guarding: "the test")
            }
            defer { lock.release() }
            let reply = try await pusher.request("POST", "/v2/app/blobs/uploads/")
            #expect(reply.status == 503)
            #expect(reply.headers["retry-after"] != nil)
        }
    }
}
