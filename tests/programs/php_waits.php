<?php
// php_waits.php WAIT [DIRECTORY]: says "ready", waits in one way until it gets a line or a connection, and says what came of it
// as JSON. What a job leaves behind, and words that set the scene, come as further arguments.

$complaints = array();
set_error_handler(function ($number, $text) use (&$complaints) {
    $complaints[] = $text;
    return true;
});

final class Circle
{
    public $self;
    public $text;
}

function circles($count)
{
    for ($i = 0; $i < $count; $i++) {
        $circle = new Circle();
        $circle->text = str_repeat('c', 1000);
        $circle->self = $circle;
    }
}

function fragments()
{
    $all = array();
    for ($i = 0; $i < 100000; $i++) {
        $all[] = str_repeat('f', 100) . $i;
    }
}

list(, $wait, $directory) = $argv;
foreach (array_slice($argv, 3) as $scene) {
    switch ($scene) {
        case 'circles':
            circles(2000);
            break;
        case 'fragments':
            fragments();
            break;
        case 'synchronous':
            pcntl_async_signals(false);
            break;
        case 'own handler':
            pcntl_signal(SIGUSR1, function () use (&$complaints) {
                $complaints[] = 'own handler';
            });
            break;
        case 'short of memory':
            ini_set('memory_limit', (string) (memory_get_usage(true) + 2097152));
            break;
        case 'jail':
            ini_set('open_basedir', $directory);
            break;
    }
}
$pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
$none = null;
$readable = array(STDIN);
fwrite(STDERR, "ready\n");
switch ($wait) {
    case 'usleep':
        while (!file_exists("$directory/go")) {
            usleep(20000);
        }
        $result = 'slept';
        break;
    case 'sleep':
        $result = sleep(30) > 0 ? 'slept less' : 'slept';
        break;
    case 'stream_select':
        $result = stream_select($readable, $none, $none, null);
        break;
    case 'stream_socket_accept':
        $result = is_resource(stream_socket_accept(stream_socket_server("unix://$directory/socket"), -1));
        break;
    case 'socket_accept':
        $socket = socket_create(AF_UNIX, SOCK_STREAM, 0);
        socket_bind($socket, "$directory/socket");
        socket_listen($socket);
        $result = socket_accept($socket) !== false;
        break;
    case 'fgets':
        $result = trim(fgets(STDIN));
        break;
    case 'fgets of a socket':
        $result = trim(fgets(stream_socket_accept(stream_socket_server("unix://$directory/socket"), -1)));
        break;
    case 'proc_close':
        $result = proc_close(proc_open('read line; exit 7', array(0 => STDIN), $pipes));
        break;
    case 'computing':
        while (!file_exists("$directory/go")) {
            clearstatcache();
        }
        $result = 'computed';
        break;
}
echo json_encode(array('result' => $result, 'complaints' => $complaints, 'last' => error_get_last())), "\n";
