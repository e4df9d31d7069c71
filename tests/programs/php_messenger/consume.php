<?php
// consume.php messenger:consume queue [options]: wired as symfony's framework does it, without the framework.

require __DIR__ . '/messenger.php';

use Psr\Container\ContainerInterface;
use Symfony\Component\Console\Application;
use Symfony\Component\EventDispatcher\EventDispatcher;
use Symfony\Component\Messenger\Command\ConsumeMessagesCommand;
use Symfony\Component\Messenger\EventListener\DispatchPcntlSignalListener;
use Symfony\Component\Messenger\EventListener\StopWorkerOnSigtermSignalListener;
use Symfony\Component\Messenger\Handler\HandlersLocator;
use Symfony\Component\Messenger\MessageBus;
use Symfony\Component\Messenger\Middleware\HandleMessageMiddleware;
use Symfony\Component\Messenger\RoutableMessageBus;

final class Locator implements ContainerInterface
{
    private $services;

    public function __construct(array $services)
    {
        $this->services = $services;
    }

    public function get(string $id)
    {
        return $this->services[$id];
    }

    public function has(string $id): bool
    {
        return isset($this->services[$id]);
    }
}

$handlers = new HandlersLocator(array(Index::class => array(new IndexHandler())));
$bus = new MessageBus(array(new HandleMessageMiddleware($handlers)));
$events = new EventDispatcher();
$events->addSubscriber(new StopWorkerOnSigtermSignalListener());
$events->addSubscriber(new DispatchPcntlSignalListener());
$application = new Application();
$application->add(new ConsumeMessagesCommand(
    new RoutableMessageBus(new Locator(array()), $bus),
    new Locator(array('queue' => transport(database()))),
    $events,
    null,
    array('queue')
));
$application->run();
