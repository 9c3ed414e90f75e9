import Dispatch
import DockerEngine
import FoundationEssentials
import Glibc
import Report
import Synchronization
import SystemPackage

/// An engine of ours that remembers containers, volumes and networks as a real one does, on a unix socket, and fails where a test
/// wants it to. A thread for each connection: there are few.
final class EngineOfContainers: Sendable {
    struct Thing: Sendable {
        var labels: [String: String]
        var state = "running"
    }

    struct State: Sendable {
        var images: Set<String> = ["node"]
        var containers: [String: Thing] = [:]
        var volumes: [String: Thing] = [:]
        var networks: [String: Thing] = [:]
        var requests: [String] = []
        /// What `systemctl is-system-running` says.
        var systemState = "running\n"
        /// The state that a container has once it was started.
        var stateAfterStart = "running"
    }

    /// What a test wants to fail: the status and message for a request, nil for none.
    typealias Fault = @Sendable (_ method: String, _ path: String) -> (Int, String)?

    let state = Mutex(State())
    let socket: DockerSocket
    private let listener: Int32
    private let fault: Fault

    init(in folder: FilePath, fault: @escaping Fault = { _, _ in nil }) throws {
        self.fault = fault
        let path = folder.appending("engine.sock")
        socket = DockerSocket(path: path)
        listener = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.string.utf8)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, listen(listener, 64) == 0 else { throw Errno(rawValue: errno) }
        let descriptor = listener
        DispatchQueue(label: "engine").async { [weak self] in
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0, let self else { return }
                DispatchQueue(label: "connection").async {
                    self.serve(connection)
                    close(connection)
                }
            }
        }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private func serve(_ connection: Int32) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            bytes += buffer[..<count]
            guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
            let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
            let length =
                head.first { $0.lowercased().hasPrefix("content-length:") }
                .flatMap { $0.split(separator: " ").last }.flatMap { Int($0) } ?? 0
            guard bytes.count >= end.upperBound + length else { continue }
            let words = head[0].split(separator: " ")
            let body = Data(bytes[end.upperBound..<end.upperBound + length])
            let reply = answer(String(words[0]), String(words[1]), body)
            reply.withUnsafeBytes { _ = write(connection, $0.baseAddress, $0.count) }
            return
        }
    }

    private func answer(_ method: String, _ target: String, _ body: Data) -> [UInt8] {
        let parts = target.split(separator: "?", maxSplits: 1)
        let query = parts.count > 1 ? Self.decoded(parts[1]) : ""
        var path = Array(parts[0].split(separator: "/").map(Self.decoded))
        if path == ["_ping"] { return Self.response(200, "OK") }
        path.removeFirst()
        let plain = path.joined(separator: "/")
        state.withLock { $0.requests.append("\(method) \(plain)") }
        if let (status, message) = fault(method, plain) { return Self.response(status, #"{"message":"\#(message)"}"#) }
        let wish = (try? JSONDecoder().decode(Wish.self, from: body)) ?? Wish()
        return state.withLock { Self.act(method, path, query, wish, &$0) }
    }

    private struct Wish: Decodable {
        var name: String?
        var labels: [String: String]?

        private enum CodingKeys: String, CodingKey {
            case name = "Name"
            case labels = "Labels"
        }
    }

    private static func act(
        _ method: String,
        _ path: [String],
        _ query: String,
        _ wish: Wish,
        _ state: inout State
    ) -> [UInt8] {
        let name = path.count > 1 ? path[1] : ""
        switch (method, path[0], path.count, path.last ?? "") {
        case ("GET", "images", _, _):
            return state.images.contains(name) ? response(200, #"{"Id":"i","Architecture":"amd64"}"#) : missing(name)
        case ("GET", "networks", 1, _):
            let all = listed(state.networks, query) { name in
                let labels = (state.networks[name]?.labels ?? [:]).map { #""\#($0)":"\#($1)""# }.joined(separator: ",")
                return #"{"Id":"\#(name)","Name":"\#(name)","Internal":true,"Labels":{\#(labels)}}"#
            }
            return response(200, "[\(all)]")
        case ("POST", "networks", _, "create"): return create(wish.name ?? "", wish, &state.networks)
        case ("DELETE", "networks", _, _): return remove(name, &state.networks)
        case ("GET", "volumes", 1, _):
            let all = listed(state.volumes, query) { #"{"Name":"\#($0)"}"# }
            return response(200, #"{"Volumes":[\#(all)]}"#)
        case ("POST", "volumes", _, "create"): return create(wish.name ?? "", wish, &state.volumes)
        case ("DELETE", "volumes", _, _): return remove(name, &state.volumes)
        case ("POST", "containers", _, "create"):
            return create(String(query.split(separator: "=").last ?? ""), wish, &state.containers)
        case ("GET", "containers", 2, "json"):
            let all = listed(state.containers, query) { name in
                let labels = (state.containers[name]?.labels ?? [:]).map { #""\#($0)":"\#($1)""# }.joined(
                    separator: ",")
                return
                    #"{"Id":"\#(name)","Names":["/\#(name)"],"State":"\#(state.containers[name]?.state ?? "")","Labels":{\#(labels)}}"#
            }
            return response(200, "[\(all)]")
        case ("GET", "containers", _, "json"):
            guard let found = state.containers[name] else { return missing(name) }
            let network = "sealer-\(found.labels["io.sealer.cluster"] ?? "")"
            return response(
                200,
                #"{"Id":"\#(name)","State":{"Status":"\#(found.state)","ExitCode":9},"NetworkSettings":{"Networks":{"\#(network)":{"IPAddress":"172.18.0.2"}}}}"#
            )
        case ("GET", "containers", _, "logs"):
            return bytes("HTTP/1.1 200 OK\r\n\r\n") + frame("the last words\n")
        case ("POST", "containers", _, "unpause"):
            state.containers[name]?.state = "running"
            return response(204, "")
        case ("POST", "containers", _, "start"):
            state.containers[name]?.state = state.stateAfterStart
            return response(204, "")
        case ("POST", "containers", _, "exec"): return response(201, #"{"Id":"e"}"#)
        case ("DELETE", "containers", _, _): return remove(name, &state.containers)
        case ("POST", "exec", _, "start"):
            return bytes("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                + frame(state.systemState)
        case ("GET", "exec", _, _): return response(200, #"{"Running":false,"ExitCode":0}"#)
        default: return response(400, #"{"message":"no route \#(path)"}"#)
        }
    }

    private static func listed(_ things: [String: Thing], _ query: String, _ text: (String) -> String) -> String {
        let label = query.split(separator: "\"").dropFirst(3).first ?? ""
        let pair = label.split(separator: "=").map(String.init)
        return things.filter { query.isEmpty || pair.count == 2 && $0.value.labels[pair[0]] == pair[1] }
            .keys.sorted().map(text).joined(separator: ",")
    }

    private static func create(_ name: String, _ wish: Wish, _ things: inout [String: Thing]) -> [UInt8] {
        guard things[name] == nil else { return response(409, #"{"message":"\#(name) is there"}"#) }
        things[name] = Thing(labels: wish.labels ?? [:], state: "created")
        return response(201, #"{"Id":"\#(name)","Name":"\#(name)"}"#)
    }

    private static func remove(_ name: String, _ things: inout [String: Thing]) -> [UInt8] {
        things.removeValue(forKey: name) == nil ? missing(name) : response(204, "")
    }

    private static func missing(_ name: String) -> [UInt8] { response(404, #"{"message":"no such thing: \#(name)"}"#) }

    private static func response(_ status: Int, _ body: String) -> [UInt8] {
        let length = status == 204 ? "" : "Content-Length: \(body.utf8.count)\r\n"
        return bytes("HTTP/1.1 \(status) X\r\nApi-Version: 1.41\r\n\(length)Connection: close\r\n\r\n\(body)")
    }

    private static func frame(_ text: String) -> [UInt8] {
        [1, 0, 0, 0, 0, 0, 0, UInt8(text.utf8.count)] + bytes(text)
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private static func decoded(_ text: Substring) -> String {
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                result.append(value)
                rest = rest.dropFirst(2)
            } else {
                result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
